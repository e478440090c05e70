/* SPDX-License-Identifier: MIT */
/* What --bind and $PORT mean, before anything is bound. Single-threaded. */
#ifndef CW_SUPERVISOR_BINDS_H
#define CW_SUPERVISOR_BINDS_H

#include <stddef.h>

#include "base/macros.h"
#include "base/options.h"

/* Splits "HOST:PORT", ":PORT", "[V6]:PORT" or "PORT", also with http:// or tcp:// in
 * front. Without a host that is 0.0.0.0. Returns 0, or -1 where it is none of these. */
CW_MUSTCHECK int cw_bind_split(const char *text, char *host, size_t host_len,
                               char *port, size_t port_len);

/* Gives every address of --bind its port ($PORT, else gunicorn's 8000, where it is a
 * host alone), and --bind itself a value where there is none (0.0.0.0:$PORT, else port
 * 8080). Returns 0, or -1 after saying what is wrong with them. */
CW_MUSTCHECK int cw_binds_work_out(cw_settings_t *s);

#endif
