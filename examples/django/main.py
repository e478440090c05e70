"""What cwsgi serves: `cwsgi main:app`."""

import logging
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = get_wsgi_application()


def check_database():
    """Say how, where the database is not as the code wants it: every page would be an error."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        logging.getLogger("project").error("The database is not up to date: manage.py migrate")


check_database()
