/* SPDX-License-Identifier: MIT */
/* What all files of asgi/ use: the loop and its host, and strings. */
#include "asgi/asgi_internal.h"

cw_asgi_t cw_asgi;

#define DEFINE(id, text) PyObject *cw_s_##id;
CW_ASGI_STRINGS(DEFINE)
#undef DEFINE

int cw_state_init(void) {
#define INTERN(id, text) \
  if (!(cw_s_##id = PyUnicode_InternFromString(text))) return -1;
  CW_ASGI_STRINGS(INTERN)
#undef INTERN
  cw_list_init(&cw_asgi.calls);
  return 0;
}
