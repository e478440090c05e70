/* SPDX-License-Identifier: MIT */
/* Names of choices. */
#include "base/choices.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static int find(const char *text, const char *const *names, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (strcasecmp(text, names[i]) == 0) return (int)i;
  return -1;
}

int cw_interface_parse(const char *text) {
  static const char *const names[] = {"auto", "wsgi", "asgi"};
  return find(text, names, CW_ARRAY_LEN(names));
}

int cw_proxy_mode_parse(const char *text) {
  static const char *const names[] = {"off", "v1", "v2", "auto"};
  /* A configuration file may say True or False. */
  if (strcmp(text, "1") == 0) return CW_PROXY_AUTO;
  if (strcmp(text, "0") == 0) return CW_PROXY_OFF;
  return find(text, names, CW_ARRAY_LEN(names));
}

int cw_underscores_parse(const char *text) {
  static const char *const names[] = {"drop", "refuse", "dangerous"};
  return find(text, names, CW_ARRAY_LEN(names));
}

int cw_ws_compression_parse(const char *text) {
  static const char *const names[] = {"off", "on", "context"};
  /* uvicorn's words, and what a configuration file's True and False become. */
  if (strcmp(text, "1") == 0 || strcasecmp(text, "true") == 0) return CW_WS_COMPRESS_ON;
  if (strcmp(text, "0") == 0 || strcasecmp(text, "false") == 0)
    return CW_WS_COMPRESS_OFF;
  return find(text, names, CW_ARRAY_LEN(names));
}

int cw_proxy_headers_parse(const char *text, cw_span_t *bad) {
  static const struct {
    const char *name;
    int bit;
  } words[] = {{"x-forwarded-for", CW_SAYS_FOR},
               {"x-forwarded-host", CW_SAYS_HOST},
               {"x-forwarded-port", CW_SAYS_PORT},
               {"x-forwarded-proto", 0},
               {"forwarded", CW_SAYS_FORWARDED}};
  int bits = 0;
  while (text && *text) {
    size_t n = strcspn(text, ","), i = 0;
    cw_span_t word = {text, n};
    for (; word.len && word.p[0] == ' '; word.len--) word.p++;
    while (word.len && word.p[word.len - 1] == ' ') word.len--;
    while (i < CW_ARRAY_LEN(words) &&
           (strlen(words[i].name) != word.len ||
            strncasecmp(words[i].name, word.p, word.len) != 0))
      i++;
    if (word.len && i == CW_ARRAY_LEN(words)) {
      *bad = word;
      return -1;
    }
    if (word.len) bits |= words[i].bit;
    text += n + (text[n] == ',');
  }
  return bits;
}
