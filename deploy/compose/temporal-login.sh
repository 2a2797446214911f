#!/bin/sh
# Run once by the postgres image when it initializes its data: creates a login for Temporal, which creates its databases itself.
set -eu
psql --set=ON_ERROR_STOP=1 --set=password="$(cat /run/secrets/TEMPORAL_PASSWORD)" --username postgres <<'SQL'
CREATE ROLE temporal LOGIN CREATEDB PASSWORD :'password';
SQL
