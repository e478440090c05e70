/* SPDX-License-Identifier: MIT */
/* Every option, once. Included with CW_OPTION defined; no guard on purpose.
 *
 * CW_OPTION(id, name, flags, env, type, default, metavar, group, help)
 *   name     the setting's name, gunicorn's where gunicorn has it: the key in a
 *            configuration file
 *   flags    command-line spellings, blank-separated; one that starts with --no- turns
 *            a BOOL off; empty: not on the command line
 *   env      environment variable that gives a default, or NULL
 *   type     INT, SECONDS (kept in ms), BYTES (k, m, g suffixes), BOOL, TEXT, LIST
 *   metavar  in brackets: the value may be left out
 */
CW_OPTION(
    CONFIG, "config", "-c --config", NULL, TEXT, NULL, "FILE", "Configuration",
    "configuration in Python: a path, file:PATH or python:MODULE; where not given, "
    "./cwsgi.conf.py or ./gunicorn.conf.py if there is one")
CW_OPTION(CHECK_CONFIG, "check_config", "--check-config", NULL, BOOL, "0", "",
          "Configuration", "import the app and exit: 0 if it can be served")
CW_OPTION(PRINT_CONFIG, "print_config", "--print-config", NULL, BOOL, "0", "",
          "Configuration", "print every setting and where its value came from")

CW_OPTION(
    BIND, "bind", "-b --bind", NULL, LIST, NULL, "ADDRESS", "Socket",
    "address to listen on: HOST:PORT, :PORT, [V6]:PORT, PORT, unix:PATH, fd://N, or a "
    "HOST alone: port $PORT, 8000 where PORT is not set; may be repeated. Default "
    "0.0.0.0:$PORT, port 8080 where PORT is not set")
CW_OPTION(BACKLOG, "backlog", "--backlog", NULL, INT, "2048", "N", "Socket",
          "connections that wait to be accepted")
CW_OPTION(REUSE_PORT, "reuse_port", "--reuse-port", NULL, BOOL, "0", "", "Socket",
          "set SO_REUSEPORT, so that several cwsgi may share a port")
CW_OPTION(
    LISTEN, "listen", "--listen", NULL, TEXT, "ready", "WHEN", "Socket",
    "when the port opens: ready (the app is imported and warm) or early (at once; "
    "connections wait)")

CW_OPTION(WORKERS, "workers", "-w --workers", "WEB_CONCURRENCY", INT, "0", "N",
          "Processes", "worker processes; 0 means one for each CPU granted")
CW_OPTION(WORKER_CLASS, "worker_class", "-k --worker-class", NULL, TEXT, "gthread",
          "NAME", "Processes",
          "sync, gthread, asgi and uvicorn's are taken for gunicorn's sake: --threads "
          "decides, and what the app is")
CW_OPTION(THREADS, "threads", "--threads", NULL, INT, "8", "N", "Processes",
          "threads that run the app in each worker, made when needed; 0 means 1")
CW_OPTION(INTERFACE, "interface", "--interface", NULL, TEXT, "auto", "KIND",
          "Processes",
          "what the app is: wsgi, asgi, or auto: a coroutine function, and an object "
          "whose __call__ is one, is an ASGI app")
CW_OPTION(FACTORY, "factory", "--factory", NULL, BOOL, "0", "", "Processes",
          "the app that is named is called without arguments, and makes the app; "
          "MODULE:NAME() says the same")
CW_OPTION(
    ROOT_PATH, "root_path", "--root-path", NULL, TEXT, "", "PATH", "Processes",
    "path that a proxy has cut off in front of each request: SCRIPT_NAME of WSGI, "
    "root_path of ASGI")
CW_OPTION(LOOP, "asgi_loop", "--loop --asgi-loop", NULL, TEXT, "auto", "NAME",
          "Processes",
          "event loop of ASGI apps: asyncio, uvloop (which has to be installed), or "
          "auto: asyncio")
CW_OPTION(LIFESPAN, "asgi_lifespan", "--lifespan --asgi-lifespan", NULL, TEXT, "auto",
          "WHEN", "Processes",
          "whether ASGI apps are told of start and end: on, off, or auto: where they "
          "know of it")
CW_OPTION(
    LIMIT_CONCURRENCY, "limit_concurrency", "--limit-concurrency", NULL, INT, "0", "N",
    "Processes",
    "requests of ASGI apps under way in a worker, beyond which 503 is answered; 0 "
    "sets no limit")
CW_OPTION(
    BLOCK_WARNING, "block_warning", "--block-warning", NULL, SECONDS, "1", "SECONDS",
    "Processes",
    "log the stack of what keeps the event loop of ASGI apps for longer than this; 0 "
    "never does")
CW_OPTION(PRELOAD_APP, "preload_app", "--preload", NULL, BOOL, "0", "", "Processes",
          "import the app once, in a process that the workers are forked from")
CW_OPTION(
    TIMEOUT, "timeout", "-t --timeout", NULL, SECONDS, "0", "SECONDS", "Processes",
    "replace a worker that gives no sign of life, or runs one request, for longer "
    "than this, after logging what its threads do; 0 never does")
CW_OPTION(REQUEST_TIMEOUT, "request_timeout", "--request-timeout", NULL, SECONDS, "0",
          "SECONDS", "Processes",
          "end a request that runs longer: an exception is raised in it and the client "
          "gets 504; 0 never does")
CW_OPTION(GRACEFUL_TIMEOUT, "graceful_timeout", "--graceful-timeout", NULL, SECONDS,
          "30", "SECONDS", "Processes",
          "time that running requests get to finish after TERM; 9 on Cloud Run")
CW_OPTION(DRAIN_DELAY, "drain_delay", "--drain-delay", NULL, SECONDS, "0", "SECONDS",
          "Processes",
          "time to go on accepting after TERM, for load balancers that learn late")
CW_OPTION(MAX_REQUESTS, "max_requests", "--max-requests", NULL, INT, "0", "N",
          "Processes", "replace a worker after this many requests; 0 never does")
CW_OPTION(MAX_REQUESTS_JITTER, "max_requests_jitter", "--max-requests-jitter", NULL,
          INT, "0", "N", "Processes",
          "add up to this many at random, so that workers do not go together")
CW_OPTION(MAX_MEMORY, "max_memory", "--max-memory", NULL, BYTES, "0", "BYTES",
          "Processes",
          "replace a worker whose resident memory passes this; 0: only where the "
          "container's limit is near and another worker can serve")
CW_OPTION(PYTHON, "python", "--python", "CWSGI_PYTHON", TEXT, NULL, "PATH", "Processes",
          "interpreter to use instead of the one found")

CW_OPTION(KEEPALIVE, "keepalive", "--keep-alive", NULL, SECONDS, "620", "SECONDS",
          "HTTP", "time an idle connection stays open; 0 closes after each response")
CW_OPTION(LIMIT_REQUEST_LINE, "limit_request_line", "--limit-request-line", NULL, BYTES,
          "8190", "BYTES", "HTTP",
          "longest request line; 0 leaves it to --limit-request-head")
CW_OPTION(LIMIT_REQUEST_FIELDS, "limit_request_fields", "--limit-request-fields", NULL,
          INT, "100", "N", "HTTP", "most header fields in a request")
CW_OPTION(LIMIT_REQUEST_FIELD_SIZE, "limit_request_field_size",
          "--limit-request-field_size --limit-request-field-size", NULL, BYTES, "8190",
          "BYTES", "HTTP", "longest header field; 0 leaves it to --limit-request-head")
CW_OPTION(LIMIT_REQUEST_HEAD, "limit_request_head", "--limit-request-head", NULL, BYTES,
          "128k", "BYTES", "HTTP",
          "longest request line and header fields together. Where not given, more if "
          "--limit-request-line and --limit-request-field-size ask for it")
CW_OPTION(LIMIT_REQUEST_BODY, "limit_request_body", "--limit-request-body", NULL, BYTES,
          "0", "BYTES", "HTTP", "longest request body; 0 sets no limit")
CW_OPTION(BUFFER_BODY, "buffer_body", "--buffer-body", NULL, BYTES, "64k", "BYTES",
          "HTTP", "bodies up to this length are complete before the app is called")
CW_OPTION(HEADER_TIMEOUT, "header_timeout", "--header-timeout", NULL, SECONDS, "30",
          "SECONDS", "HTTP", "time to send a request's header section")
CW_OPTION(SEND_TIMEOUT, "send_timeout", "--send-timeout", NULL, SECONDS, "60",
          "SECONDS", "HTTP", "time a client may take to accept more of a response")
CW_OPTION(
    BODY_TIMEOUT, "body_timeout", "--body-timeout", NULL, SECONDS, "60", "SECONDS",
    "HTTP",
    "longest pause between two pieces of a request's body; 0 sets no limit, nor a "
    "rate for it")
CW_OPTION(BODY_RATE, "body_rate", "--body-rate", NULL, BYTES, "240", "BYTES", "HTTP",
          "least bytes per second of a body, in either direction, counted from its "
          "begin and with one pause of --body-timeout granted; 0 sets no limit")
CW_OPTION(
    WORKER_CONNECTIONS, "worker_connections",
    "--worker-connections --limit-connections", NULL, INT, "0", "N", "HTTP",
    "connections a worker holds at once; 0 means as many as it has descriptors for and "
    "as fit into half of the memory that the container grants, at least 64")
CW_OPTION(BUFFER_MEMORY, "buffer_memory", "--buffer-memory", NULL, BYTES, "0", "BYTES",
          "HTTP",
          "what a worker holds of heads and small bodies that are still coming; beyond "
          "it those that take longest are refused with 408, or 503 where none is slow. "
          "0 means an eighth of the memory that the container grants, by the workers; "
          "256m where it sets no limit")
CW_OPTION(HEADER_MAP, "header_map", "--header-map", NULL, TEXT, "drop", "HOW", "HTTP",
          "header names with an underscore: drop, refuse (400) or dangerous (keep)")
CW_OPTION(SENDFILE, "sendfile", "--sendfile --no-sendfile", "SENDFILE", BOOL, "1", "",
          "HTTP", "send wsgi.file_wrapper's files with sendfile(2)")

CW_OPTION(
    WS_MAX_SIZE, "ws_max_size", "--ws-max-size", NULL, BYTES, "16m", "BYTES",
    "WebSocket",
    "longest message of a client, expanded; one that is longer closes with 1009. 0 "
    "sets no limit")
CW_OPTION(WS_MAX_QUEUE, "ws_max_queue", "--ws-max-queue", NULL, INT, "32", "N",
          "WebSocket",
          "messages that wait for the app before no more is read from the client; no "
          "more than 64 KiB of them in any case, and one that is longer alone")
CW_OPTION(WS_PING_INTERVAL, "ws_ping_interval", "--ws-ping-interval", NULL, SECONDS,
          "20", "SECONDS", "WebSocket", "time between two pings; 0 sends none")
CW_OPTION(WS_PING_TIMEOUT, "ws_ping_timeout", "--ws-ping-timeout", NULL, SECONDS, "20",
          "SECONDS", "WebSocket",
          "time in which a client has to answer a ping, or send anything else; then it "
          "is closed with 1011. 0 does not look at it")
CW_OPTION(
    WS_PER_MESSAGE_DEFLATE, "ws_per_message_deflate", "--ws-per-message-deflate", NULL,
    TEXT, "on", "HOW", "WebSocket",
    "compress messages for clients that offer it: off, on (each message for itself: an "
    "idle socket holds nothing for it), or context (with those before it: smaller, for "
    "some 50 KiB a socket)")

CW_OPTION(
    FORWARDED_ALLOW_IPS, "forwarded_allow_ips", "--forwarded-allow-ips",
    "FORWARDED_ALLOW_IPS", TEXT, "127.0.0.1,::1", "NETWORKS", "Proxies",
    "proxies that are believed the scheme and what --trusted-proxy-headers names: "
    "addresses and CIDR, comma-separated, or *. Peers of Unix sockets always are, "
    "on Cloud Run also its front end")
CW_OPTION(TRUSTED_PROXY_HEADERS, "trusted_proxy_headers", "--trusted-proxy-headers",
          NULL, TEXT, NULL, "NAMES", "Proxies",
          "fields that those proxies set themselves, comma-separated: x-forwarded-for, "
          "x-forwarded-host, x-forwarded-port, x-forwarded-proto (always counts), "
          "forwarded. Name no other: many proxies pass on what a client sent. Default "
          "none; x-forwarded-for on Cloud Run")
CW_OPTION(CLEAR_UNTRUSTED_PROXY_HEADERS, "clear_untrusted_proxy_headers",
          "--clear-untrusted-proxy-headers", NULL, BOOL, "0", "", "Proxies",
          "keep fields of this kind that do not count from the app")
CW_OPTION(SECURE_SCHEME_HEADERS, "secure_scheme_headers", "", NULL, TEXT, NULL,
          "NAME=VALUE,...", "Proxies",
          "header fields by which a proxy says that it was reached by https; a dict in "
          "the configuration file. Default X-FORWARDED-PROTOCOL=ssl, "
          "X-FORWARDED-PROTO=https, X-FORWARDED-SSL=on")
CW_OPTION(
    FORWARDER_HEADERS, "forwarder_headers", "--forwarder-headers", NULL, TEXT, NULL,
    "NAMES", "Proxies",
    "fields with underscores that the proxies of --forwarded-allow-ips may send in "
    "spite of --header-map, comma-separated; only where that option is given. "
    "Default SCRIPT_NAME,PATH_INFO then")
CW_OPTION(PROXY_PROTOCOL, "proxy_protocol", "--proxy-protocol", NULL, TEXT, "off",
          "[MODE]", "Proxies",
          "PROXY header in front of each connection: off, v1, v2 or auto (without a "
          "value: auto)")
CW_OPTION(PROXY_ALLOW_IPS, "proxy_allow_ips", "--proxy-allow-from", NULL, TEXT,
          "127.0.0.1,::1", "NETWORKS", "Proxies",
          "proxies that may send a PROXY header")

CW_OPTION(WSGI_APP, "wsgi_app", "", NULL, TEXT, NULL, "APP", "Application",
          "the app, as the positional argument: module:name")
CW_OPTION(MOUNT, "mount", "--mount", NULL, LIST, NULL, "/PREFIX=APP", "Application",
          "serve another app below a path; may be repeated, the longest prefix wins")
CW_OPTION(CHDIR, "chdir", "--chdir", NULL, TEXT, NULL, "DIR", "Application",
          "change to this folder before the app is imported")
CW_OPTION(PYTHONPATH, "pythonpath", "--pythonpath", NULL, TEXT, NULL, "DIRS",
          "Application", "folders, comma-separated, put before sys.path")
CW_OPTION(RAW_ENV, "raw_env", "-e --env", NULL, LIST, NULL, "KEY=VALUE", "Application",
          "set an environment variable for the app; may be repeated. A name without a "
          "value stays as it is")
CW_OPTION(WARMUP, "warmup", "--warmup", NULL, LIST, NULL, "PATH", "Application",
          "request this path inside each worker before it accepts connections; may be "
          "repeated, a 5xx answer ends the start")
CW_OPTION(HEALTH, "health", "--health", NULL, TEXT, NULL, "PATH", "Application",
          "answer this path without the app: 200, or 503 while stopping. At the "
          "connection limit a few places are kept for it, and requests of other paths "
          "that come there are answered with 503")
CW_OPTION(
    PREFETCH, "prefetch", "--prefetch", NULL, TEXT, NULL, "FILE", "Application",
    "list of `cwsgi record` by which the files of a start are read ahead; default "
    "cwsgi.prefetch in the app's folder, where there is one; none does not")
CW_OPTION(
    RELOAD, "reload", "--reload", NULL, BOOL, "0", "", "Application",
    "reload when a file of the app changes, and wait for one where the app cannot be "
    "imported at the start; for development")
CW_OPTION(RELOAD_ENGINE, "reload_engine", "--reload-engine", NULL, TEXT, "auto",
          "ENGINE", "Application", "how to notice: auto, inotify or poll")
CW_OPTION(RELOAD_EXTRA_FILES, "reload_extra_files",
          "--reload-extra-file --reload-extra-files", NULL, LIST, NULL, "FILE",
          "Application", "also watch this file or folder; may be repeated")

CW_OPTION(
    LOGLEVEL, "loglevel", "--log-level", NULL, TEXT, "info", "LEVEL", "Logging",
    "least level of the error log: debug, info, warning (or warn), error, critical; "
    "notset and trace mean debug")
CW_OPTION(ERRORLOG, "errorlog", "--error-logfile --log-file", NULL, TEXT, "-", "FILE",
          "Logging", "where the error log goes; - is standard error")
CW_OPTION(ACCESSLOG, "accesslog", "--access-logfile", NULL, TEXT, NULL, "FILE",
          "Logging", "where the access log goes; - is standard output")
CW_OPTION(ACCESS_LOG_FORMAT, "access_log_format",
          "--access-logformat --access-log-format", NULL, TEXT,
          "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"", "FORMAT",
          "Logging",
          "a line's form, in gunicorn's atoms, or one of combined, json, gcp (Google "
          "Cloud Logging)")
CW_OPTION(
    LOG_QUERY, "log_query", "--log-query", NULL, BOOL, "0", "", "Logging",
    "show the query strings of requests in the error log, where tokens may be; the "
    "access log has its format")
CW_OPTION(CAPTURE_OUTPUT, "capture_output", "--capture-output", NULL, BOOL, "0", "",
          "Logging", "send the app's standard output and error to the error log file")
CW_OPTION(ENABLE_STDIO_INHERITANCE, "enable_stdio_inheritance",
          "-R --enable-stdio-inheritance", NULL, BOOL, "0", "", "Logging",
          "keep standard output and error unbuffered (they always are here)")
CW_OPTION(LOGCONFIG, "logconfig", "--log-config", NULL, TEXT, NULL, "FILE", "Logging",
          "logging.config file for the app's logging")
CW_OPTION(LOGCONFIG_JSON, "logconfig_json", "--log-config-json", NULL, TEXT, NULL,
          "FILE", "Logging", "the same, as a dictConfig in JSON")
CW_OPTION(LOGCONFIG_DICT, "logconfig_dict", "", NULL, TEXT, NULL, "DICT", "Logging",
          "the same, as a dict in the configuration file")
CW_OPTION(LOGGER_CLASS, "logger_class", "--logger-class", NULL, TEXT,
          "gunicorn.glogging.Logger", "MODULE.CLASS", "Logging",
          "a logger of gunicorn's kind, derived from gunicorn.glogging.Logger or "
          "cwsgi.glogging.Logger: access lines go through its access(), what hooks and "
          "failing requests log through its other methods")
CW_OPTION(SYSLOG, "syslog", "--log-syslog", NULL, BOOL, "0", "", "Logging",
          "send both logs to syslog, too")
CW_OPTION(SYSLOG_ADDR, "syslog_addr", "--log-syslog-to", NULL, TEXT,
          "udp://localhost:514", "ADDRESS", "Logging",
          "syslog's address: unix://PATH (#dgram or #stream), udp://HOST:PORT or "
          "tcp://HOST:PORT")
CW_OPTION(SYSLOG_PREFIX, "syslog_prefix", "--log-syslog-prefix", NULL, TEXT, NULL,
          "NAME", "Logging",
          "name in syslog: gunicorn.NAME, as gunicorn's; default cwsgi.PROC_NAME")
CW_OPTION(SYSLOG_FACILITY, "syslog_facility", "--log-syslog-facility", NULL, TEXT,
          "user", "NAME", "Logging", "syslog's facility")
CW_OPTION(DISABLE_REDIRECT_ACCESS_TO_SYSLOG, "disable_redirect_access_to_syslog",
          "--disable-redirect-access-to-syslog", NULL, BOOL, "0", "", "Logging",
          "keep the access log out of syslog")

CW_OPTION(
    BOOT_TRACE, "boot_trace", "--boot-trace", NULL, TEXT, NULL, "FILE", "Logging",
    "write where the time and the memory of the first worker's start went: a page "
    "for a name that ends with .html, JSON for .json, else text; - is the error "
    "log")

CW_OPTION(METRICS, "metrics", "--metrics", NULL, TEXT, NULL, "WHERE", "Metrics",
          "Prometheus metrics of all workers: a /PATH of the service, or an address of "
          "their own (HOST:PORT, :PORT, unix:PATH)")
CW_OPTION(STATSD_HOST, "statsd_host", "--statsd-host", NULL, TEXT, NULL, "HOST:PORT",
          "Metrics", "send gunicorn's statsd metrics here (UDP), or to unix://PATH")
CW_OPTION(STATSD_PREFIX, "statsd_prefix", "--statsd-prefix", NULL, TEXT, "", "PREFIX",
          "Metrics", "put in front of their names")
CW_OPTION(DOGSTATSD_TAGS, "dogstatsd_tags", "--dogstatsd-tags", NULL, TEXT, "", "TAGS",
          "Metrics", "comma-separated tags, in DogStatsD's form")

CW_OPTION(PROC_NAME, "proc_name", "-n --name", NULL, TEXT, NULL, "NAME", "Identity",
          "name for process titles and syslog; default the app")
CW_OPTION(USER, "user", "-u --user", NULL, TEXT, NULL, "USER", "Identity",
          "user of the workers, by name or number; without --group they get its groups")
CW_OPTION(GROUP, "group", "-g --group", NULL, TEXT, NULL, "GROUP", "Identity",
          "group of the workers, by name or number")
CW_OPTION(INITGROUPS, "initgroups", "--initgroups", NULL, BOOL, "0", "", "Identity",
          "with --user and --group: also all groups that the user is in")
CW_OPTION(ALLOW_NEW_PRIVILEGES, "allow_new_privileges", "--allow-new-privileges", NULL,
          BOOL, "0", "", "Identity",
          "with --user: let programs that the app starts, as sudo, become another user")
CW_OPTION(UMASK, "umask", "-m --umask", NULL, TEXT, NULL, "MASK", "Identity",
          "mode bits that files made by the app, and Unix sockets, don't get; 022 and "
          "0o22 are octal. Default: as inherited, Unix sockets open to all")
CW_OPTION(PIDFILE, "pidfile", "-p --pid", NULL, TEXT, NULL, "FILE", "Identity",
          "write the supervisor's process id here")
CW_OPTION(DAEMON, "daemon", "-D --daemon", NULL, BOOL, "0", "", "Identity",
          "go to the background")

CW_OPTION(HOOKS, "hooks", "", NULL, LIST, NULL, "", "",
          "functions of the configuration file that are called")
CW_OPTION(ENVIRON, "environ", "", NULL, LIST, NULL, "", "",
          "what the configuration file did to os.environ: NAME=VALUE, or NAME: removed")
CW_OPTION(VERSION, "version", "-v --version", NULL, BOOL, "0", "", "Other",
          "print the versions of cwsgi, CPython, libuv, llhttp and zlib")
CW_OPTION(HELP, "help", "-h --help", NULL, BOOL, "0", "", "Other", "print this help")
CW_OPTION(COMPLETION, "completion", "--completion", NULL, TEXT, NULL, "SHELL", "Other",
          "print what bash, zsh or fish need to complete options")
CW_OPTION(HELP_MAN, "help_man", "--help-man", NULL, BOOL, "0", "", "Other",
          "print the manual page, in troff's form")
CW_OPTION(HELP_MARKDOWN, "help_markdown", "--help-markdown", NULL, BOOL, "0", "",
          "Other", "print the reference page docs/settings.md")
