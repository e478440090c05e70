/* SPDX-License-Identifier: MIT */
/* gunicorn's hooks: functions of a configuration file. python/cwsgi/_settings.py has
 * their arguments. */
#ifndef CW_BASE_HOOK_NAMES_H
#define CW_BASE_HOOK_NAMES_H

#include <stdbool.h>

#include "base/macros.h"
#include "base/options.h"

/* Name in C, name in the file, and whether it is the master's, else a worker's. */
#define CW_HOOK_TABLE(HOOK)                         \
  HOOK(ON_STARTING, "on_starting", true)            \
  HOOK(ON_RELOAD, "on_reload", true)                \
  HOOK(WHEN_READY, "when_ready", true)              \
  HOOK(PRE_FORK, "pre_fork", true)                  \
  HOOK(CHILD_EXIT, "child_exit", true)              \
  HOOK(PRE_EXEC, "pre_exec", true)                  \
  HOOK(NWORKERS_CHANGED, "nworkers_changed", true)  \
  HOOK(ON_EXIT, "on_exit", true)                    \
  HOOK(POST_FORK, "post_fork", false)               \
  HOOK(POST_WORKER_INIT, "post_worker_init", false) \
  HOOK(WORKER_INT, "worker_int", false)             \
  HOOK(WORKER_ABORT, "worker_abort", false)         \
  HOOK(WORKER_EXIT, "worker_exit", false)           \
  HOOK(PRE_REQUEST, "pre_request", false)           \
  HOOK(POST_REQUEST, "post_request", false)

#define CW_HOOK_ENTRY(id, name, of_master) CW_HOOK_##id,
typedef enum cw_hook { CW_HOOK_TABLE(CW_HOOK_ENTRY) CW_N_HOOKS } cw_hook_t;
#undef CW_HOOK_ENTRY

/* Stands among them where workers have to execute the file: no name in Python. */
#define CW_HOOKS_IMPORT "import"

const char *cw_hook_name(cw_hook_t hook);

/* The hook of that name, or CW_N_HOOKS. */
cw_hook_t cw_hook_named(cw_span_t name);

/* Whether the configuration has the hook, */
bool cw_hook_given(const cw_settings_t *s, cw_hook_t hook);
/* and whether it has any of the master's or of the workers'. */
bool cw_hooks_given(const cw_settings_t *s, bool of_master);

#endif
