/* SPDX-License-Identifier: MIT */
/* Reason phrases of the registered statuses. Any thread. */
#ifndef CW_HTTP_REASON_H
#define CW_HTTP_REASON_H

/* The phrase for a final `status`, or "": it may be empty (RFC 9112 section 4). */
const char *cw_reason(int status);

#endif
