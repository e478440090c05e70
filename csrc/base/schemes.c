/* SPDX-License-Identifier: MIT */
/* secure_scheme_headers. */
#include "base/schemes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char usual[] =
    "X-FORWARDED-PROTOCOL=ssl,X-FORWARDED-PROTO=https,X-FORWARDED-SSL=on";

/* Copies what lies between blanks in lower case. Returns its length, 0 where there is
 * nothing or no room for it. */
static size_t take_lower(const char *p, size_t n, char *out, size_t size) {
  for (; n && *p == ' '; n--) p++;
  while (n && p[n - 1] == ' ') n--;
  if (n >= size) n = 0;
  for (size_t i = 0; i < n; i++)
    out[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] | 0x20) : p[i];
  out[n] = '\0';
  return n;
}

int cw_schemes_parse(cw_schemes_t *s, const char *text, char *err, size_t err_len) {
  *s = (cw_schemes_t){.n = 0};
  if (!text) text = usual;
  while (*text) {
    size_t n = strcspn(text, ",");
    const char *eq = memchr(text, '=', n);
    size_t name = eq ? (size_t)(eq - text) : 0;
    cw_scheme_t *item = &s->items[s->n];
    bool good =
        eq && s->n < CW_SCHEMES &&
        (item->name_len = take_lower(text, name, item->name, sizeof(item->name))) > 0 &&
        take_lower(eq + 1, n - name - 1, item->value, sizeof(item->value)) > 0;
    if (!good) {
      snprintf(
          err, err_len,
          "secure_scheme_headers: '%.*s' is not NAME=VALUE, or one of more than %d",
          (int)CW_MIN(n, 80u), text, CW_SCHEMES);
      return -1;
    }
    s->lengths |= (uint64_t)1 << item->name_len;
    s->n++;
    text += n + (text[n] == ',');
  }
  return 0;
}
