/* SPDX-License-Identifier: MIT */
/* The app reference: module, module:attr.sub or module:factory("arg", key=1). */
#ifndef CW_WORKER_APPREF_H
#define CW_WORKER_APPREF_H

#include <stdbool.h>

#include "base/choices.h"
#include "wsgi/python.h"

/* What is said of an app beside its name. */
typedef struct cw_appref_how {
  cw_interface_t kind;
  bool factory; /* what has that name is called, and makes the app */
} cw_appref_how_t;

/* Imports the app and returns it, or NULL with *exit_code set after the reason was
 * written to standard error: 3 where the import raised, 4 where the object is missing,
 * not callable or its factory failed (gunicorn's codes). *async tells an ASGI app,
 * which `how` or the object itself says. GIL held. */
CW_NEW PyObject *cw_appref_load(const char *ref, const cw_appref_how_t *how,
                                bool *async, int *exit_code);

#endif
