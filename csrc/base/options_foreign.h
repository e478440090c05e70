/* SPDX-License-Identifier: MIT */
/* gunicorn's settings that mean nothing here, and those that cannot be had. Included
 * with CW_FOREIGN defined; no guard on purpose.
 *
 * CW_FOREIGN(name, flags, has_value, defaults, refused, text)
 *   defaults  gunicorn's own default as people spell it, blank-separated: accepted
 *             without a word; NULL: there is none to spell
 *   refused   an error where it is used; else one line of notice
 */
CW_FOREIGN("worker_tmp_dir", "--worker-tmp-dir", true, NULL, false,
           "heartbeats are in shared memory")
CW_FOREIGN("tmp_upload_dir", "", true, NULL, false, "bodies are never put on disk")

CW_FOREIGN("spew", "--spew", false, NULL, true, "cwsgi does not trace execution")
CW_FOREIGN("logger_class", "--logger-class", true, "gunicorn.glogging.Logger", true,
           "cwsgi's own lines are written in C; use --log-config for the app's logging")
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
           "16777216", true, "ASGI is not supported")
CW_FOREIGN("http2_max_concurrent_streams", "--http2-max-concurrent-streams", true,
           "100", true, "HTTP/2 is not supported yet")
CW_FOREIGN("http2_initial_window_size", "--http2-initial-window-size", true, "65535",
           true, "HTTP/2 is not supported yet")
CW_FOREIGN("http2_max_frame_size", "--http2-max-frame-size", true, "16384", true,
           "HTTP/2 is not supported yet")
CW_FOREIGN("http2_max_header_list_size", "--http2-max-header-list-size", true, "65536",
           true, "HTTP/2 is not supported yet")
CW_FOREIGN("asgi_loop", "--asgi-loop", true, "auto", true, "ASGI is not supported")
CW_FOREIGN("asgi_lifespan", "--asgi-lifespan", true, "auto", true,
           "ASGI is not supported")
CW_FOREIGN("asgi_disconnect_grace_period", "--asgi-disconnect-grace-period", true, "3",
           true, "ASGI is not supported")
CW_FOREIGN("root_path", "--root-path", true, NULL, true,
           "use --mount /PREFIX=APP, or the variable SCRIPT_NAME")
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
