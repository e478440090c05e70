/* SPDX-License-Identifier: MIT */
/* Time. Any thread. */
#ifndef CW_BASE_CLOCK_H
#define CW_BASE_CLOCK_H

#include <stdint.h>

/* Length of an IMF-fixdate (RFC 9110 section 5.6.7), without NUL. */
enum { CW_DATE_LEN = 29 };

/* Monotonic microseconds. */
int64_t cw_now_us(void);

/* The current IMF-fixdate, CW_DATE_LEN bytes; valid until this thread's next
 * call. Formatted at most once a second per thread. */
const char *cw_http_date(void);

#endif
