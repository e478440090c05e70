/* SPDX-License-Identifier: MIT */
/* gunicorn's settings that mean nothing here, and those that cannot be had. Included
 * with CW_FOREIGN defined; no guard on purpose.
 *
 * CW_FOREIGN(name, flags, has_value, refused, text)
 *   refused  an error where it is used; else one line of notice
 */
CW_FOREIGN("worker_tmp_dir", "--worker-tmp-dir", true, false,
           "heartbeats are in shared memory")
CW_FOREIGN("tmp_upload_dir", "", true, false, "bodies are never put on disk")

CW_FOREIGN("spew", "--spew", false, true, "cwsgi does not trace execution")
CW_FOREIGN("logger_class", "--logger-class", true, true,
           "cwsgi's own lines are written in C; use --log-config for the app's logging")
CW_FOREIGN("paste", "--paste --paster", true, true,
           "name the app as module:factory(\"file\") instead")
CW_FOREIGN("raw_paste_global_conf", "--paste-global", true, true,
           "name the app as module:factory(\"file\") instead")
CW_FOREIGN("permit_obsolete_folding", "--permit-obsolete-folding", false, true,
           "requests are parsed strictly")
CW_FOREIGN("strip_header_spaces", "--strip-header-spaces", false, true,
           "requests are parsed strictly")
CW_FOREIGN("permit_unconventional_http_method", "--permit-unconventional-http-method",
           false, true, "requests are parsed strictly")
CW_FOREIGN("permit_unconventional_http_version", "--permit-unconventional-http-version",
           false, true, "requests are parsed strictly")
CW_FOREIGN("casefold_http_method", "--casefold-http-method", false, true,
           "requests are parsed strictly")
CW_FOREIGN("keyfile", "--keyfile", true, true, "TLS is not supported yet")
CW_FOREIGN("certfile", "--certfile", true, true, "TLS is not supported yet")
CW_FOREIGN("ssl_version", "--ssl-version", true, true, "TLS is not supported yet")
CW_FOREIGN("cert_reqs", "--cert-reqs", true, true, "TLS is not supported yet")
CW_FOREIGN("ca_certs", "--ca-certs", true, true, "TLS is not supported yet")
CW_FOREIGN("ciphers", "--ciphers", true, true, "TLS is not supported yet")
CW_FOREIGN("ssl_context", "", true, true, "TLS is not supported yet")
CW_FOREIGN("suppress_ragged_eofs", "--suppress-ragged-eofs --no-suppress-ragged-eofs",
           false, false, "it is about TLS")
CW_FOREIGN("do_handshake_on_connect", "--do-handshake-on-connect", false, false,
           "it is about TLS")
CW_FOREIGN("protocol", "--protocol", true, true, "the protocol is HTTP")
CW_FOREIGN("uwsgi_allow_ips", "--uwsgi-allow-from", true, true, "the protocol is HTTP")
CW_FOREIGN("http_protocols", "--http-protocols", true, true,
           "HTTP/1.1 and 1.0 are served")
CW_FOREIGN("http2_cleartext", "--http2-cleartext", true, true,
           "HTTP/2 is not supported yet")
CW_FOREIGN("websocket_max_message_size", "--websocket-max-message-size", true, true,
           "ASGI is not supported")
CW_FOREIGN("http2_max_concurrent_streams", "--http2-max-concurrent-streams", true, true,
           "HTTP/2 is not supported yet")
CW_FOREIGN("http2_initial_window_size", "--http2-initial-window-size", true, true,
           "HTTP/2 is not supported yet")
CW_FOREIGN("http2_max_frame_size", "--http2-max-frame-size", true, true,
           "HTTP/2 is not supported yet")
CW_FOREIGN("http2_max_header_list_size", "--http2-max-header-list-size", true, true,
           "HTTP/2 is not supported yet")
CW_FOREIGN("asgi_loop", "--asgi-loop", true, true, "ASGI is not supported")
CW_FOREIGN("asgi_lifespan", "--asgi-lifespan", true, true, "ASGI is not supported")
CW_FOREIGN("asgi_disconnect_grace_period", "--asgi-disconnect-grace-period", true, true,
           "ASGI is not supported")
CW_FOREIGN("root_path", "--root-path", true, true,
           "use --mount /PREFIX=APP, or the variable SCRIPT_NAME")
CW_FOREIGN("dirty_apps", "--dirty-app", true, true, "there are no dirty workers")
CW_FOREIGN("dirty_workers", "--dirty-workers", true, true, "there are no dirty workers")
CW_FOREIGN("dirty_threads", "--dirty-threads", true, true, "there are no dirty workers")
CW_FOREIGN("dirty_timeout", "--dirty-timeout", true, true, "there are no dirty workers")
CW_FOREIGN("dirty_graceful_timeout", "--dirty-graceful-timeout", true, true,
           "there are no dirty workers")
CW_FOREIGN("control_socket", "--control-socket", true, true,
           "there is no control socket")
CW_FOREIGN("control_socket_mode", "--control-socket-mode", true, true,
           "there is no control socket")
CW_FOREIGN("control_socket_disable", "--no-control-socket", false, false,
           "there is no control socket")
CW_FOREIGN("http_parser", "--http-parser", true, true, "the parser is llhttp")
CW_FOREIGN("enable_backlog_metric", "--enable-backlog-metric", false, true,
           "use --metrics")
