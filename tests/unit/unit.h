/* SPDX-License-Identifier: MIT */
/* What every unit test includes: cmocka and its prerequisites. */
#ifndef CW_TESTS_UNIT_H
#define CW_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka wants the above before it. */
#include <cmocka.h>

#include "base/macros.h"

#define SPAN(text) ((cw_span_t){(text), strlen(text)})

#endif
