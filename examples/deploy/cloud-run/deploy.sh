#!/bin/sh
# The same as service.yaml in one line, from a folder with one of examples/'s Dockerfiles:
#   PROJECT=my-project REGION=europe-west1 sh deploy.sh
set -eu
exec gcloud run deploy hello --source . --project "$PROJECT" --region "$REGION" \
  --command cwsgi \
  --args=--workers=1,--threads=8,--health=/health,--access-logfile=-,--access-logformat=gcp,main:app \
  --concurrency 8 --cpu 1 --memory 256Mi --min-instances 0 --max-instances 10 --cpu-boost \
  --timeout 300 \
  --startup-probe httpGet.path=/health,periodSeconds=1,timeoutSeconds=1,failureThreshold=60 \
  --liveness-probe httpGet.path=/health,periodSeconds=30,timeoutSeconds=5,failureThreshold=3 \
  --set-env-vars "GOOGLE_CLOUD_PROJECT=$PROJECT"
