/* SPDX-License-Identifier: MIT */
/* Listening sockets: bound early here, made to listen by the first ready worker. */
#ifndef CW_SUPERVISOR_SOCKETS_H
#define CW_SUPERVISOR_SOCKETS_H

#include "base/heritage.h"
#include "base/options.h"

/* Binds every address of the settings ($PORT or 8080 where there is none). Returns the
 * number of sockets, or -1 after the reason was written to standard error. */
CW_MUSTCHECK int cw_sockets_bind(const cw_settings_t *s, cw_listener_t *out);

/* Closes the sockets; removes the files of Unix sockets. */
void cw_sockets_close(cw_listener_t *l, int n);

/* "http://127.0.0.1:8080" or "unix:/run/app.sock". */
void cw_socket_name(const cw_listener_t *l, char *out, size_t len);

#endif
