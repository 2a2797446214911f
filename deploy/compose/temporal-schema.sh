#!/bin/sh
# Temporal's two databases, brought to the version of this image. Running it again changes nothing.
set -eu
SQL_PASSWORD=$(cat /run/secrets/TEMPORAL_PASSWORD)
export SQL_PASSWORD

schema() {
  database=$1
  folder=$2
  tool="temporal-sql-tool --plugin postgres12 --endpoint postgres --port 5432 --user temporal --database $database"
  # Both fail where the database and its table of versions are there already; the last step tells whether all is well.
  $tool create-database || true
  $tool setup-schema --version 0.0 || true
  $tool update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$folder/versioned"
}

schema temporal temporal
schema temporal_visibility visibility
