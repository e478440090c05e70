"""What cwsgi serves: `cwsgi main:app`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = get_wsgi_application()
