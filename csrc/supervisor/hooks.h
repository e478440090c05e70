/* SPDX-License-Identifier: MIT */
/* The master's hooks, in a helper process. Each call waits for the answer, but not for
 * ever. Nothing happens where the configuration has no such function. */
#ifndef CW_SUPERVISOR_HOOKS_H
#define CW_SUPERVISOR_HOOKS_H

#include "base/hook_names.h"
#include "supervisor/state.h"

/* Starts the helper, or has the one there is read the present settings. */
void cw_hooks_start(state_t *st);

/* Calls a hook with the words of `fmt`, divided by blanks. */
void cw_hooks_call(state_t *st, cw_hook_t hook, const char *fmt, ...) CW_PRINTF(3, 4);

/* No hook: the helper is told what its server.WORKERS shows. */
void cw_hooks_forked(state_t *st, int slot, int age, pid_t pid);

/* USR1: log files that hooks have open may have been renamed. */
void cw_hooks_reopen(const state_t *st);

void cw_hooks_end(state_t *st);

/* The helper has died: starts another one, unless that is of no use. */
void cw_hooks_on_end(state_t *st);

#endif
