/* SPDX-License-Identifier: MIT */
/* USR2: a new cwsgi beside this one. */
#ifndef CW_SUPERVISOR_UPGRADE_H
#define CW_SUPERVISOR_UPGRADE_H

#include "supervisor/state.h"

/* Starts it, and hands the sockets over. */
void cw_upgrade(state_t *st);

/* In the new one: takes over the end of the pipe that it tells. */
void cw_upgrade_begin(state_t *st);

/* There: tells the older one that this one serves. */
void cw_upgrade_ready(state_t *st);

/* In the older one: hears that. systemd believes a MAINPID only from the present one.
 */
void cw_upgrade_heard(state_t *st);

#endif
