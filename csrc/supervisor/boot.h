/* SPDX-License-Identifier: MIT */
/* Starting the processes that have Python in them. */
#ifndef CW_SUPERVISOR_BOOT_H
#define CW_SUPERVISOR_BOOT_H

#include "supervisor/state.h"

/* Forks a process that keeps nothing of the supervisor and enters Python for `slot`;
 * `control_fd` is what it is spoken to by (cw_heritage_t), or -1. Returns its id, or -1
 * after saying why not. */
CW_MUSTCHECK pid_t cw_boot(state_t *st, generation_t *gen, int slot, int control_fd);

/* Goes to --chdir of `s`, or, with NULL or without it, where we were started: paths in
 * settings count from there, as with gunicorn. */
void cw_enter_dir(state_t *st, const cw_settings_t *s);

#endif
