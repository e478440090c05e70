/* SPDX-License-Identifier: MIT */
/* Every option, once. Included with CW_OPTION defined; no guard on purpose.
 *
 * CW_OPTION(id, name, flags, env, type, default, metavar, group, help)
 *   name   the setting's name, gunicorn's where gunicorn has it
 *   flags  command-line spellings, blank-separated
 *   env    environment variable that gives a default, or NULL
 *   type   INT, SECONDS (kept in ms), BYTES (k, m, g suffixes), BOOL, TEXT, LIST
 */
CW_OPTION(BIND, "bind", "-b --bind", NULL, LIST, NULL, "ADDRESS", "Socket",
          "address to listen on: HOST:PORT, :PORT, [V6]:PORT, unix:PATH or PORT; "
          "may be repeated. Default 0.0.0.0:$PORT, port 8080 where PORT is not set")
CW_OPTION(BACKLOG, "backlog", "--backlog", NULL, INT, "2048", "N", "Socket",
          "connections that wait to be accepted")

CW_OPTION(WORKERS, "workers", "-w --workers", "WEB_CONCURRENCY", INT, "0", "N",
          "Processes", "worker processes; 0 means one for each CPU granted")
CW_OPTION(THREADS, "threads", "--threads", NULL, INT, "8", "N", "Processes",
          "threads that run the app in each worker, made when needed")
CW_OPTION(GRACEFUL_TIMEOUT, "graceful_timeout", "--graceful-timeout", NULL, SECONDS,
          "30", "SECONDS", "Processes",
          "time that running requests get to finish after TERM")
CW_OPTION(TIMEOUT, "timeout", "-t --timeout", NULL, SECONDS, "0", "SECONDS",
          "Processes", "taken for gunicorn's sake; not enforced yet")
CW_OPTION(PYTHON, "python", "--python", "CWSGI_PYTHON", TEXT, NULL, "PATH", "Processes",
          "interpreter to use instead of the one found")

CW_OPTION(KEEPALIVE, "keepalive", "--keep-alive", NULL, SECONDS, "620", "SECONDS",
          "HTTP", "time an idle connection stays open; 0 closes after each response")
CW_OPTION(LIMIT_REQUEST_LINE, "limit_request_line", "--limit-request-line", NULL, BYTES,
          "8190", "BYTES", "HTTP", "longest request line")
CW_OPTION(LIMIT_REQUEST_FIELDS, "limit_request_fields", "--limit-request-fields", NULL,
          INT, "100", "N", "HTTP", "most header fields in a request")
CW_OPTION(LIMIT_REQUEST_FIELD_SIZE, "limit_request_field_size",
          "--limit-request-field_size --limit-request-field-size", NULL, BYTES, "8190",
          "BYTES", "HTTP", "longest header field")
CW_OPTION(LIMIT_REQUEST_BODY, "limit_request_body", "--limit-request-body", NULL, BYTES,
          "0", "BYTES", "HTTP", "longest request body; 0 sets no limit")
CW_OPTION(BUFFER_BODY, "buffer_body", "--buffer-body", NULL, BYTES, "64k", "BYTES",
          "HTTP", "bodies up to this length are complete before the app is called")
CW_OPTION(HEADER_TIMEOUT, "header_timeout", "--header-timeout", NULL, SECONDS, "30",
          "SECONDS", "HTTP", "time to send a request's header section")

CW_OPTION(SEND_TIMEOUT, "send_timeout", "--send-timeout", NULL, SECONDS, "60",
          "SECONDS", "HTTP", "time a client may take to accept more of a response")
CW_OPTION(BODY_RATE, "body_rate", "--body-rate", NULL, BYTES, "240", "BYTES", "HTTP",
          "least bytes per second of a body, in either direction; 0 sets no limit")
CW_OPTION(
    WORKER_CONNECTIONS, "worker_connections",
    "--worker-connections --limit-connections", NULL, INT, "0", "N", "HTTP",
    "connections a worker holds at once; 0 means as many as it has descriptors for")
CW_OPTION(HEADER_MAP, "header_map", "--header-map", NULL, TEXT, "drop", "HOW", "HTTP",
          "header names with an underscore: drop, refuse (400) or dangerous (keep)")

CW_OPTION(FORWARDED_ALLOW_IPS, "forwarded_allow_ips", "--forwarded-allow-ips",
          "FORWARDED_ALLOW_IPS", TEXT, "127.0.0.1,::1", "NETWORKS", "Proxies",
          "proxies whose Forwarded and X-Forwarded-* fields count: addresses and CIDR, "
          "comma-separated, or *. On Cloud Run also its front end")
CW_OPTION(PROXY_PROTOCOL, "proxy_protocol", "--proxy-protocol", NULL, TEXT, "off",
          "MODE", "Proxies",
          "PROXY header in front of each connection: off, v1, v2 or auto")
CW_OPTION(PROXY_ALLOW_IPS, "proxy_allow_ips", "--proxy-allow-from", NULL, TEXT,
          "127.0.0.1,::1", "NETWORKS", "Proxies",
          "proxies that may send a PROXY header")

CW_OPTION(CHDIR, "chdir", "--chdir", NULL, TEXT, NULL, "DIR", "Application",
          "change to this folder before the app is imported")
CW_OPTION(PYTHONPATH, "pythonpath", "--pythonpath", NULL, TEXT, NULL, "DIRS",
          "Application", "folders, comma-separated, put before sys.path")
CW_OPTION(RAW_ENV, "raw_env", "-e --env", NULL, LIST, NULL, "KEY=VALUE", "Application",
          "set an environment variable for the app; may be repeated")
CW_OPTION(WSGI_APP, "wsgi_app", "", NULL, TEXT, NULL, "APP", "Application",
          "the app, as the positional argument: module:name")

CW_OPTION(LOGLEVEL, "loglevel", "--log-level", NULL, TEXT, "info", "LEVEL", "Logging",
          "least level of the error log: debug, info, warning, error, critical")

CW_OPTION(VERSION, "version", "-v --version", NULL, BOOL, "0", NULL, "Other",
          "print the versions of cwsgi, CPython, libuv and llhttp")
CW_OPTION(HELP, "help", "-h --help", NULL, BOOL, "0", NULL, "Other", "print this help")
