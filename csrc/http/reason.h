/* SPDX-License-Identifier: MIT */
/* Reason phrases of the statuses that the server itself sends. Any thread. */
#ifndef CW_HTTP_REASON_H
#define CW_HTTP_REASON_H

/* RFC 9110 section 15's phrase for `status`, or "Error". */
const char *cw_reason(int status);

#endif
