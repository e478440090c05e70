/* SPDX-License-Identifier: MIT */
/* Telling a service manager about our state: the protocol of sd_notify(3). */
#ifndef CW_SUPERVISOR_SDNOTIFY_H
#define CW_SUPERVISOR_SDNOTIFY_H

/* Sends `state` ("READY=1\nMAINPID=7") to $NOTIFY_SOCKET; nothing happens where that is
 * not set. Does not block. */
void cw_sd_notify(const char *state);

#endif
