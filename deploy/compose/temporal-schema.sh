#!/bin/sh
# Brings Temporal's two databases to the schema of this image. Running it again changes nothing.
set -eu
SQL_PASSWORD=$(cat /run/secrets/TEMPORAL_PASSWORD)
export SQL_PASSWORD

schema() {
  database=$1
  folder=$2
  tool="temporal-sql-tool --plugin postgres12 --endpoint postgres --port 5432 --user temporal --database $database"
  # Both fail if the database and its version table already exist; the last step decides whether the setup succeeded.
  $tool create-database || true
  $tool setup-schema --version 0.0 || true
  $tool update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$folder/versioned"
}

schema temporal temporal
schema temporal_visibility visibility
