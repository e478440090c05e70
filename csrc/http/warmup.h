/* SPDX-License-Identifier: MIT */
/* Requests of the server's own, to warm the app up. */
#ifndef CW_HTTP_WARMUP_H
#define CW_HTTP_WARMUP_H

#include <stddef.h>

#include "http/server.h"

/* Runs GET `target` (a path and perhaps a query; bytes that no request line may have
 * are percent-encoded) as if a client of this machine had sent it to the first address,
 * in the calling thread, and throws the response away. It is neither logged as an
 * access nor counted, and --request-timeout does not end it.
 *
 * Returns the status, and in `line` (of `size` bytes) its text, as "200 OK"; or, with
 * the reason in `line`, 0: the request was not run, -1: its response did not come to
 * its end. Before cw_server_listen(); as app->run() wants the GIL. */
CW_MUSTCHECK int cw_server_warm_up(cw_server_t *srv, const cw_app_t *app,
                                   const char *target, char *line, size_t size);

#endif
