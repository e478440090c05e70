/* SPDX-License-Identifier: MIT */
/* Hexadecimal digits. */
#include "unit/unit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hex.h"

static void digits_have_their_value(void **state) {
  for (int c = 0; c < 256; c++) {
    const char text[2] = {(char)c};
    int wanted = isxdigit(c) ? (int)strtol(text, NULL, 16) : -1;
    assert_int_equal(cw_hex_value((char)c), wanted);
  }
}

static void bytes_are_escaped(void **state) {
  for (unsigned c = 0; c < 256; c++) {
    char got[CW_HEX_ESCAPE], wanted[8];
    cw_hex_escape((unsigned char)c, got);
    snprintf(wanted, sizeof(wanted), "\\x%02X", c);
    assert_memory_equal(got, wanted, sizeof(got));
  }
}

static void numbers_are_what_printf_writes(void **state) {
  for (unsigned shift = 0; shift < 64; shift++)
    for (uint64_t n = ((uint64_t)1 << shift) - 1; n <= (uint64_t)1 << shift; n++) {
      char got[CW_HEX_MAX], wanted[CW_HEX_MAX + 1];
      int len = snprintf(wanted, sizeof(wanted), "%" PRIx64, n);
      assert_int_equal(cw_hex(got, n), len);
      assert_memory_equal(got, wanted, (size_t)len);
    }
  char got[CW_HEX_MAX];
  assert_int_equal(cw_hex(got, UINT64_MAX), CW_HEX_MAX);
  assert_memory_equal(got, "ffffffffffffffff", CW_HEX_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(digits_have_their_value),
      cmocka_unit_test(bytes_are_escaped),
      cmocka_unit_test(numbers_are_what_printf_writes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
