/* SPDX-License-Identifier: MIT */
/* gunicorn's settings that mean nothing here, and those that cannot be had; and what
 * options of other servers are here. Included with CW_FOREIGN or CW_PEER defined;
 * no guard on purpose.
 *
 * CW_FOREIGN(name, flags, has_value, defaults, refused, text)
 *   defaults  gunicorn's own default as people spell it, blank-separated: accepted
 *             without a word; NULL: there is none to spell
 *   refused   an error where it is used; else one line of notice
 */
#ifdef CW_FOREIGN
CW_FOREIGN("worker_tmp_dir", "--worker-tmp-dir", true, NULL, false,
           "heartbeats are in shared memory")
CW_FOREIGN("tmp_upload_dir", "", true, NULL, false, "bodies are never put on disk")

CW_FOREIGN("spew", "--spew", false, NULL, true, "cwsgi does not trace execution")
CW_FOREIGN("paste", "--paste --paster", true, NULL, true,
           "name the app as module:factory(\"file\") instead")
CW_FOREIGN("raw_paste_global_conf", "--paste-global", true, NULL, true,
           "name the app as module:factory(\"file\") instead")
CW_FOREIGN("permit_obsolete_folding", "--permit-obsolete-folding", false, NULL, true,
           "requests are parsed strictly")
CW_FOREIGN("strip_header_spaces", "--strip-header-spaces", false, NULL, true,
           "requests are parsed strictly")
CW_FOREIGN("permit_unconventional_http_method", "--permit-unconventional-http-method",
           false, NULL, true, "requests are parsed strictly")
CW_FOREIGN("permit_unconventional_http_version", "--permit-unconventional-http-version",
           false, NULL, true, "requests are parsed strictly")
CW_FOREIGN("casefold_http_method", "--casefold-http-method", false, NULL, true,
           "requests are parsed strictly")
CW_FOREIGN("keyfile", "--keyfile", true, NULL, true, "TLS is not supported yet")
CW_FOREIGN("certfile", "--certfile", true, NULL, true, "TLS is not supported yet")
CW_FOREIGN("ssl_version", "--ssl-version", true, "2 TLS SSLv23", false,
           "it is about TLS, which takes a certfile")
CW_FOREIGN("cert_reqs", "--cert-reqs", true, "0", false,
           "it is about TLS, which takes a certfile")
CW_FOREIGN("ca_certs", "--ca-certs", true, NULL, false,
           "it is about TLS, which takes a certfile")
CW_FOREIGN("ciphers", "--ciphers", true, "TLSv1", false,
           "it is about TLS, which takes a certfile")
CW_FOREIGN("ssl_context", "", true, NULL, false,
           "it is about TLS, which takes a certfile")
CW_FOREIGN("suppress_ragged_eofs", "--suppress-ragged-eofs --no-suppress-ragged-eofs",
           false, NULL, false, "it is about TLS")
CW_FOREIGN("do_handshake_on_connect", "--do-handshake-on-connect", false, NULL, false,
           "it is about TLS")
CW_FOREIGN("protocol", "--protocol", true, "http", true, "the protocol is HTTP")
CW_FOREIGN("uwsgi_allow_ips", "--uwsgi-allow-from", true, "127.0.0.1,::1 127.0.0.1",
           false, "the protocol is HTTP")
CW_FOREIGN("http_protocols", "--http-protocols", true, "h1", true,
           "HTTP/1.1 and 1.0 are served")
CW_FOREIGN("http2_cleartext", "--http2-cleartext", true, "off", true,
           "HTTP/2 is not supported yet")
CW_FOREIGN("websocket_max_message_size", "--websocket-max-message-size", true,
           "16777216", true, "--ws-max-size BYTES does this")
CW_FOREIGN("http2_max_concurrent_streams", "--http2-max-concurrent-streams", true,
           "100", true, "HTTP/2 is not supported yet")
CW_FOREIGN("http2_initial_window_size", "--http2-initial-window-size", true, "65535",
           true, "HTTP/2 is not supported yet")
CW_FOREIGN("http2_max_frame_size", "--http2-max-frame-size", true, "16384", true,
           "HTTP/2 is not supported yet")
CW_FOREIGN("http2_max_header_list_size", "--http2-max-header-list-size", true, "65536",
           true, "HTTP/2 is not supported yet")
CW_FOREIGN("asgi_disconnect_grace_period", "--asgi-disconnect-grace-period", true, "3",
           false, "a handler is told that its client has left, and not cancelled")
CW_FOREIGN("dirty_apps", "--dirty-app", true, NULL, true, "there are no dirty workers")
CW_FOREIGN("dirty_workers", "--dirty-workers", true, "0", true,
           "there are no dirty workers")
CW_FOREIGN("dirty_threads", "--dirty-threads", true, "1", true,
           "there are no dirty workers")
CW_FOREIGN("dirty_timeout", "--dirty-timeout", true, "300", true,
           "there are no dirty workers")
CW_FOREIGN("dirty_graceful_timeout", "--dirty-graceful-timeout", true, "30", true,
           "there are no dirty workers")
CW_FOREIGN("control_socket", "--control-socket", true, NULL, true,
           "there is no control socket")
CW_FOREIGN("control_socket_mode", "--control-socket-mode", true, "384 0600 0o600", true,
           "there is no control socket")
CW_FOREIGN("control_socket_disable", "--no-control-socket", false, NULL, false,
           "there is no control socket")
CW_FOREIGN("http_parser", "--http-parser", true, "auto", true, "the parser is llhttp")
CW_FOREIGN("enable_backlog_metric", "--enable-backlog-metric", false, NULL, true,
           "use --metrics")
#endif

/* Options of other servers: what they are here. An option that cwsgi has under the same
 * name is not among them.
 *
 * CW_PEER(flag, servers, ours)
 *   servers  blank-separated
 *   ours     goes after "here that is"
 */
#ifdef CW_PEER
CW_PEER("--host", "uvicorn waitress Granian", "--bind HOST:PORT")
CW_PEER("--port", "uvicorn waitress Granian", "--bind HOST:PORT, or the variable PORT")
CW_PEER("--uds", "uvicorn Granian", "--bind unix:PATH")
CW_PEER("--uds-permissions", "Granian", "--umask MASK")
CW_PEER("--fd", "uvicorn", "--bind fd://N")
CW_PEER("--unix-socket", "waitress", "--bind unix:PATH")
CW_PEER("--unix-socket-perms", "waitress", "--umask MASK")
CW_PEER("--http", "uWSGI uvicorn Granian", "--bind HOST:PORT; HTTP/1.1 is served")
CW_PEER("--http-socket", "uWSGI", "--bind HOST:PORT")
CW_PEER("--socket", "uWSGI",
        "--bind HOST:PORT or unix:PATH, with HTTP as the protocol: proxy_pass in nginx")
CW_PEER("--uwsgi-socket", "uWSGI",
        "--bind HOST:PORT or unix:PATH, with HTTP as the protocol: proxy_pass in nginx")
CW_PEER("--chmod-socket", "uWSGI", "--umask MASK")
CW_PEER("--insecure-bind", "hypercorn", "--bind HOST:PORT")
CW_PEER("--quic-bind", "hypercorn", "--bind HOST:PORT; HTTP/1.1 is served")
CW_PEER("--module", "uWSGI", "the app without an option: main:app")
CW_PEER("--wsgi", "uWSGI", "the app without an option: main:app")
CW_PEER("--wsgi-file", "uWSGI", "the app without an option: main:app")
CW_PEER("--callable", "uWSGI", "the app without an option: main:app")
CW_PEER("--call", "waitress", "the app with parentheses: 'main:create_app()'")
CW_PEER("--app-dir", "uvicorn", "--chdir DIR or --pythonpath DIR")
CW_PEER("--working-dir", "Granian", "--chdir DIR")
CW_PEER("--ini", "uWSGI", "options, or a configuration in Python: --config FILE")
CW_PEER("--yaml", "uWSGI", "options, or a configuration in Python: --config FILE")
CW_PEER("--env-file", "uvicorn",
        "--env KEY=VALUE, or os.environ in the configuration file")
CW_PEER("--env-files", "Granian",
        "--env KEY=VALUE, or os.environ in the configuration file")
CW_PEER("--virtualenv", "uWSGI", "--python DIR/bin/python, or cwsgi installed there")
CW_PEER("--home", "uWSGI", "--python DIR/bin/python, or cwsgi installed there")
CW_PEER("--processes", "uWSGI", "--workers N")
CW_PEER("--cheaper", "uWSGI", "--workers N; their number is fixed")
CW_PEER("--master", "uWSGI", "nothing: there always is one")
CW_PEER("--enable-threads", "uWSGI", "nothing: they always are")
CW_PEER("--single-interpreter", "uWSGI", "nothing: there always is one")
CW_PEER("--need-app", "uWSGI", "nothing: it always is needed")
CW_PEER("--vacuum", "uWSGI", "nothing: sockets and pid files are always removed")
CW_PEER("--die-on-term", "uWSGI", "nothing: TERM always stops")
CW_PEER("--lazy-apps", "uWSGI", "nothing: it is the default; the opposite is --preload")
CW_PEER("--blocking-threads", "Granian", "--threads N")
CW_PEER("--runtime-threads", "Granian", "--workers N and --threads N")
CW_PEER("--runtime-mode", "Granian", "--workers N and --threads N")
CW_PEER("--runtime-blocking-threads", "Granian", "--workers N and --threads N")
CW_PEER("--task-impl", "Granian", "nothing: requests are asyncio's tasks")
CW_PEER("--ws", "uvicorn Granian", "nothing: WebSockets are served in C")
CW_PEER("--harakiri", "uWSGI",
        "--request-timeout SECONDS; --timeout replaces the worker")
CW_PEER("--workers-kill-timeout", "Granian", "--graceful-timeout SECONDS")
CW_PEER("--worker-reload-mercy", "uWSGI", "--graceful-timeout SECONDS")
CW_PEER("--timeout-graceful-shutdown", "uvicorn", "--graceful-timeout SECONDS")
CW_PEER("--timeout-keep-alive", "uvicorn", "--keep-alive SECONDS")
CW_PEER("--http1-keep-alive", "Granian",
        "--keep-alive SECONDS; 0 closes after each response")
CW_PEER("--http1-header-read-timeout", "Granian", "--header-timeout SECONDS")
CW_PEER("--timeout-worker-healthcheck", "uvicorn", "--timeout SECONDS")
CW_PEER("--read-timeout", "hypercorn", "--body-timeout SECONDS")
CW_PEER("--channel-timeout", "waitress", "--keep-alive SECONDS, --send-timeout SECONDS")
CW_PEER("--connection-limit", "waitress", "--worker-connections N")
CW_PEER("--backpressure", "Granian", "--worker-connections N")
CW_PEER("--limit-max-requests", "uvicorn", "--max-requests N")
CW_PEER("--limit-max-requests-jitter", "uvicorn", "--max-requests-jitter N")
CW_PEER("--max-requests-delta", "uWSGI", "--max-requests-jitter N")
CW_PEER("--workers-lifetime", "Granian", "--max-requests N")
CW_PEER("--workers-max-rss", "Granian", "--max-memory BYTES")
CW_PEER("--reload-on-rss", "uWSGI", "--max-memory BYTES")
CW_PEER("--evil-reload-on-rss", "uWSGI", "--max-memory BYTES")
CW_PEER("--respawn-failed-workers", "Granian", "nothing: they always are")
CW_PEER("--buffer-size", "uWSGI", "--limit-request-line and --limit-request-field-size")
CW_PEER("--http1-buffer-size", "Granian", "--limit-request-head BYTES")
CW_PEER("--h11-max-incomplete-event-size", "uvicorn", "--limit-request-head BYTES")
CW_PEER("--max-request-header-size", "waitress", "--limit-request-head BYTES")
CW_PEER("--max-request-body-size", "waitress", "--limit-request-body BYTES")
CW_PEER("--limit-post", "uWSGI", "--limit-request-body BYTES")
CW_PEER("--listen-backlog", "uWSGI", "--backlog N")
CW_PEER("--post-buffering", "uWSGI",
        "nothing: short bodies are complete in memory, longer ones stream")
CW_PEER("--outbuf-overflow", "waitress", "nothing: nothing is put on disk")
CW_PEER("--inbuf-overflow", "waitress", "nothing: nothing is put on disk")
CW_PEER("--access-log", "uvicorn Granian hypercorn",
        "--access-logfile - (standard output)")
CW_PEER("--no-access-log", "uvicorn Granian",
        "nothing: it is off without --access-logfile")
CW_PEER("--access-log-fmt", "Granian", "--access-logformat FORMAT, in gunicorn's atoms")
CW_PEER("--disable-logging", "uWSGI",
        "nothing: the access log is off without --access-logfile")
CW_PEER("--log-format", "uWSGI", "--access-logformat FORMAT, in gunicorn's atoms")
CW_PEER("--logto", "uWSGI", "--error-logfile FILE")
CW_PEER("--daemonize", "uWSGI", "--daemon --error-logfile FILE")
CW_PEER("--no-log", "Granian", "--log-level critical")
CW_PEER("--debug", "hypercorn", "--log-level debug")
CW_PEER("--use-colors", "uvicorn", "nothing: the log has no colours")
CW_PEER("--no-use-colors", "uvicorn", "nothing: the log has no colours")
CW_PEER("--stats", "uWSGI", "--metrics WHERE (Prometheus)")
CW_PEER("--metrics-port", "Granian", "--metrics HOST:PORT")
CW_PEER("--metrics-address", "Granian", "--metrics HOST:PORT")
CW_PEER("--proxy-headers", "uvicorn",
        "--forwarded-allow-ips NETWORKS; for the address also --trusted-proxy-headers "
        "x-forwarded-for")
CW_PEER("--no-proxy-headers", "uvicorn",
        "--forwarded-allow-ips with an address that no proxy has")
CW_PEER("--trusted-proxy", "waitress", "--forwarded-allow-ips NETWORKS")
CW_PEER("--trusted-proxy-count", "waitress",
        "--forwarded-allow-ips with the networks of all proxies")
CW_PEER("--url-scheme", "waitress",
        "X-Forwarded-Proto of the proxies of --forwarded-allow-ips")
CW_PEER("--url-prefix", "waitress", "--root-path /PREFIX")
CW_PEER("--url-path-prefix", "Granian", "--root-path /PREFIX")
CW_PEER("--manage-script-name", "uWSGI", "nothing: --mount always does so")
CW_PEER("--static-map", "uWSGI", "the front end, or WhiteNoise in the app")
CW_PEER("--static-path-mount", "Granian", "the front end, or WhiteNoise in the app")
CW_PEER("--static-path-route", "Granian", "the front end, or WhiteNoise in the app")
CW_PEER("--server-header", "uvicorn", "nothing: there is no Server field")
CW_PEER("--no-server-header", "uvicorn", "nothing: there is no Server field")
CW_PEER("--expose-tracebacks", "waitress", "nothing: they go to the error log")
CW_PEER("--ident", "waitress", "nothing: there is no Server field")
CW_PEER("--no-date-header", "uvicorn", "nothing: Date is always sent")
CW_PEER("--header", "uvicorn", "the app, or a middleware of it, to add fields")
CW_PEER("--server-name", "hypercorn", "the app, or the front end, to check Host")
CW_PEER("--reload-dir", "uvicorn", "--reload with --reload-extra-file DIR")
CW_PEER("--reload-include", "uvicorn", "--reload with --reload-extra-file FILE")
CW_PEER("--reload-paths", "Granian", "--reload with --reload-extra-file DIR")
CW_PEER("--py-autoreload", "uWSGI", "--reload")
CW_PEER("--touch-reload", "uWSGI", "--reload with --reload-extra-file FILE, or HUP")
CW_PEER("--uid", "uWSGI", "--user USER")
CW_PEER("--gid", "uWSGI", "--group GROUP")
CW_PEER("--pid-file", "Granian", "--pid FILE")
CW_PEER("--process-name", "Granian", "--name NAME")
CW_PEER("--procname-prefix", "uWSGI", "--name NAME")
CW_PEER("--safe-pidfile", "uWSGI", "--pid FILE")
CW_PEER("--ssl-keyfile", "uvicorn Granian",
        "a front end for TLS, which is not supported yet")
CW_PEER("--ssl-certfile", "uvicorn", "a front end for TLS, which is not supported yet")
CW_PEER("--ssl-certificate", "Granian",
        "a front end for TLS, which is not supported yet")
CW_PEER("--https", "uWSGI", "a front end for TLS, which is not supported yet")
CW_PEER("--plugin", "uWSGI", "nothing: Python is built in")
CW_PEER("--plugins", "uWSGI", "nothing: Python is built in")
CW_PEER("--offload-threads", "uWSGI", "nothing: files are sent by sendfile(2)")
CW_PEER("--mule", "uWSGI",
        "a process of its own for background work; cwsgi.after_response for small work")
#endif
