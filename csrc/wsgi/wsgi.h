/* SPDX-License-Identifier: MIT */
/* The WSGI side of a worker: PEP 3333 between a Python callable and http/app.h.
 * Every function needs the GIL. */
#ifndef CW_WSGI_WSGI_H
#define CW_WSGI_WSGI_H

#include <stdbool.h>

#include "http/app.h"
#include "wsgi/python.h"

/* Adds the types and the exception to the module `_core`. */
CW_RAISES int cw_wsgi_init(PyObject *module);

/* Makes `callable` the application; takes its own reference. The two flags are told
 * to it as wsgi.multithread and wsgi.multiprocess. Fills `app`. */
CW_RAISES int cw_wsgi_set_app(cw_app_t *app, PyObject *callable, bool multithread,
                              bool multiprocess);

/* Drops the application and the caches. */
void cw_wsgi_clear(void);

#endif
