/* SPDX-License-Identifier: MIT */
/* Option parsing, driven by options_table.h. */
#include "base/options.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef enum opt_type { INT, SECONDS, BYTES, BOOL, TEXT, LIST } opt_type_t;

typedef struct option_row {
  const char *name, *flags, *env;
  opt_type_t type;
  const char *def, *metavar, *group, *help;
} option_row_t;

static const option_row_t table[CW_OPT_COUNT] = {
#define CW_OPTION(id, ...) [CW_OPT_##id] = {__VA_ARGS__},
#include "base/options_table.h"
#undef CW_OPTION
};

static void clear(cw_value_t *v) {
  for (unsigned i = 0; i < v->n_items; i++) free(v->items[i]);
  free(v->items);
  v->items = NULL;
  v->n_items = 0;
}

static int add_item(cw_value_t *v, const char *text) {
  char **items = realloc(v->items, (v->n_items + 1) * sizeof(*items));
  if (!items) return -1;
  v->items = items;
  items[v->n_items] = strdup(text);
  if (!items[v->n_items]) return -1;
  v->n_items++;
  return 0;
}

static int parse_bool(const char *text, int64_t *out) {
  static const char *const yes[] = {"1", "true", "yes", "y", "on"};
  static const char *const no[] = {"0", "false", "no", "n", "off", ""};
  for (size_t i = 0; i < CW_ARRAY_LEN(yes); i++)
    if (strcasecmp(text, yes[i]) == 0) return *out = 1, 0;
  for (size_t i = 0; i < CW_ARRAY_LEN(no); i++)
    if (strcasecmp(text, no[i]) == 0) return *out = 0, 0;
  return -1;
}

/* Decimal digits, nothing else: no sign, no blanks. */
static int parse_count(const char *text, const char **end, int64_t *out) {
  if (!isdigit((unsigned char)text[0])) return -1;
  char *stop;
  errno = 0;
  long long n = strtoll(text, &stop, 10);
  if (errno) return -1;
  *end = stop;
  *out = n;
  return 0;
}

static int parse_num(opt_type_t type, const char *text, int64_t *out) {
  const char *end;
  if (type == BOOL) return parse_bool(text, out);
  if (parse_count(text, &end, out) != 0) return -1;
  if (type == INT) return *end == '\0' && *out <= INT_MAX ? 0 : -1;
  if (type == SECONDS) {
    int64_t ms = 0, unit = 100;
    if (*out > INT_MAX) return -1;
    if (*end == '.')
      for (end++; isdigit((unsigned char)*end); end++, unit /= 10)
        ms += (*end - '0') * unit;
    *out = *out * 1000 + ms;
    return *end == '\0' ? 0 : -1;
  }
  static const char suffixes[] = "kmg";
  const char *suffix = *end ? strchr(suffixes, tolower((unsigned char)*end)) : NULL;
  if (suffix) {
    int shift = 10 * (int)(suffix - suffixes + 1);
    if (*out > INT64_MAX >> shift) return -1;
    *out <<= shift;
    end++;
  }
  return *end == '\0' ? 0 : -1;
}

static const char *expected(opt_type_t type) {
  switch (type) {
    case INT: return "a whole number";
    case SECONDS: return "a number of seconds";
    case BYTES: return "a number of bytes (k, m and g are understood)";
    case BOOL: return "yes or no";
    default: return "text";
  }
}

/* Sets option `id` from `text`. A list grows within one source and starts over when
 * a stronger source speaks. Returns 0 or -1 with `err` written. */
static int set(cw_settings_t *s, cw_opt_t id, const char *text, cw_source_t source,
               const char *spelled, char *err, size_t err_len) {
  const option_row_t *o = &table[id];
  cw_value_t *v = &s->v[id];
  if (o->type == TEXT || o->type == LIST) {
    if (o->type == TEXT || v->source != source) clear(v);
    if (add_item(v, text) != 0) {
      snprintf(err, err_len, "out of memory");
      return -1;
    }
  } else if (parse_num(o->type, text, &v->num) != 0) {
    snprintf(err, err_len, "%s: '%s' is not %s", spelled, text, expected(o->type));
    return -1;
  }
  v->source = source;
  return 0;
}

int cw_settings_init(cw_settings_t *s) {
  char err[128];
  memset(s, 0, sizeof(*s));
  for (int i = 0; i < CW_OPT_COUNT; i++)
    if (table[i].def && set(s, i, table[i].def, CW_FROM_DEFAULT, table[i].name, err,
                            sizeof(err)) != 0) {
      cw_settings_fini(s);
      return -1;
    }
  return 0;
}

void cw_settings_fini(cw_settings_t *s) {
  for (int i = 0; i < CW_OPT_COUNT; i++) clear(&s->v[i]);
}

int cw_settings_read_env(cw_settings_t *s, char *err, size_t err_len) {
  for (int i = 0; i < CW_OPT_COUNT; i++) {
    const char *text = table[i].env ? getenv(table[i].env) : NULL;
    if (text && *text && set(s, i, text, CW_FROM_ENV, table[i].env, err, err_len) != 0)
      return -1;
  }
  return 0;
}

/* Whether `word` (of `len` bytes) is one of the blank-separated `flags`. */
static bool has_flag(const char *flags, const char *word, size_t len) {
  for (const char *p = flags; *p;) {
    size_t n = strcspn(p, " ");
    if (n == len && memcmp(p, word, len) == 0) return true;
    p += n + (p[n] == ' ');
  }
  return false;
}

static int find(const char *word, size_t len) {
  for (int i = 0; i < CW_OPT_COUNT; i++)
    if (has_flag(table[i].flags, word, len)) return i;
  return -1;
}

/* Edit distance of two short words, for "did you mean". */
static unsigned distance(const char *a, size_t n, const char *b, size_t m) {
  enum { LONGEST = 64 };
  unsigned row[LONGEST + 1];
  if (n > LONGEST || m > LONGEST) return UINT_MAX;
  for (unsigned j = 0; j <= m; j++) row[j] = j;
  for (unsigned i = 1; i <= n; i++) {
    unsigned diagonal = row[0];
    row[0] = i;
    for (unsigned j = 1; j <= m; j++) {
      unsigned best = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      best = CW_MIN(best, row[j] + 1);
      best = CW_MIN(best, row[j - 1] + 1);
      row[j] = best;
    }
  }
  return row[m];
}

static void complain_unknown(const char *word, size_t len, char *err, size_t err_len) {
  const char *best = NULL;
  size_t best_len = 0;
  unsigned best_distance = 4; /* further off is no help */
  for (int i = 0; i < CW_OPT_COUNT; i++) {
    for (const char *p = table[i].flags; *p;) {
      size_t n = strcspn(p, " ");
      unsigned d = n > 2 ? distance(word, len, p, n) : UINT_MAX;
      if (d < best_distance) best = p, best_len = n, best_distance = d;
      p += n + (p[n] == ' ');
    }
  }
  if (best)
    snprintf(err, err_len, "unknown option '%.*s'; did you mean '%.*s'?", (int)len,
             word, (int)best_len, best);
  else
    snprintf(err, err_len, "unknown option '%.*s'; see cwsgi --help", (int)len, word);
}

int cw_settings_read_args(cw_settings_t *s, int argc, char **argv, cw_source_t source,
                          char *err, size_t err_len) {
  bool only_words = false, have_app = false;
  for (int i = 0; i < argc; i++) {
    const char *word = argv[i], *value = NULL;
    if (only_words || word[0] != '-' || word[1] == '\0') {
      if (have_app) {
        snprintf(err, err_len, "one app is served; '%s' is one word too many", word);
        return -1;
      }
      have_app = true;
      if (set(s, CW_OPT_WSGI_APP, word, source, "app", err, err_len) != 0) return -1;
      continue;
    }
    if (strcmp(word, "--") == 0) {
      only_words = true;
      continue;
    }
    size_t len = strlen(word);
    if (word[1] == '-') {
      const char *eq = strchr(word, '=');
      if (eq) len = (size_t)(eq - word), value = eq + 1;
    } else if (len > 2) {
      value = word + 2 + (word[2] == '=');
      len = 2;
    }
    int id = find(word, len);
    if (id < 0) {
      complain_unknown(word, len, err, err_len);
      return -1;
    }
    char spelled[64];
    const char *longest = strstr(table[id].flags, "--");
    if (word[1] != '-' && longest)
      snprintf(spelled, sizeof(spelled), "%.*s (%.*s)", (int)len, word,
               (int)strcspn(longest, " "), longest);
    else
      snprintf(spelled, sizeof(spelled), "%.*s", (int)len, word);
    if (table[id].type == BOOL) {
      if (value) {
        snprintf(err, err_len, "%s takes no value", spelled);
        return -1;
      }
      value = "1";
    } else if (!value) {
      if (++i == argc) {
        snprintf(err, err_len, "%s needs a value: %s", spelled, table[id].metavar);
        return -1;
      }
      value = argv[i];
    }
    if (set(s, id, value, source, spelled, err, err_len) != 0) return -1;
  }
  return 0;
}

int cw_settings_pack(const cw_settings_t *s, cw_buf_t *out) {
  for (int i = 0; i < CW_OPT_COUNT; i++) {
    const cw_value_t *v = &s->v[i];
    if (v->source == CW_FROM_DEFAULT) continue;
    char num[32];
    bool text = table[i].type == TEXT || table[i].type == LIST;
    if (table[i].type == SECONDS)
      snprintf(num, sizeof(num), "%lld.%03lld", (long long)v->num / 1000,
               (long long)v->num % 1000);
    else
      snprintf(num, sizeof(num), "%lld", (long long)v->num);
    for (unsigned k = 0; k < (text ? v->n_items : 1); k++) {
      const char *value = text ? v->items[k] : num;
      if (cw_buf_append(out, table[i].name, strlen(table[i].name)) != 0 ||
          cw_buf_append(out, "=", 1) != 0 ||
          cw_buf_append(out, value, strlen(value) + 1) != 0)
        return -1;
    }
  }
  return 0;
}

int cw_settings_unpack(cw_settings_t *s, const char *data, size_t len) {
  char err[256];
  for (size_t at = 0; at < len; at += strlen(data + at) + 1) {
    const char *p = data + at;
    const char *eq = strchr(p, '=');
    if (!eq) return -1;
    int id = -1;
    for (int i = 0; i < CW_OPT_COUNT; i++)
      if (strlen(table[i].name) == (size_t)(eq - p) &&
          memcmp(table[i].name, p, (size_t)(eq - p)) == 0)
        id = i;
    if (id < 0 ||
        set(s, id, eq + 1, CW_FROM_ARGV, table[id].name, err, sizeof(err)) != 0)
      return -1;
  }
  return 0;
}

int64_t cw_opt_num(const cw_settings_t *s, cw_opt_t id) {
  return s->v[id].num;
}

const char *cw_opt_str(const cw_settings_t *s, cw_opt_t id) {
  return s->v[id].n_items ? s->v[id].items[0] : NULL;
}

bool cw_opt_given(const cw_settings_t *s, cw_opt_t id) {
  return s->v[id].source != CW_FROM_DEFAULT;
}

/* Prints `text` from column `at`, broken between words before column 80. */
static void wrap(FILE *out, const char *text, int at) {
  int col = at;
  while (*text) {
    int n = (int)strcspn(text, " ");
    if (col > at && col + 1 + n > 80) {
      fprintf(out, "\n%*s", at, "");
      col = at;
    }
    col += fprintf(out, "%s%.*s", col > at ? " " : "", n, text);
    text += n + (text[n] == ' ');
  }
}

void cw_options_help(FILE *out) {
  const char *group = "";
  enum { COLUMN = 26 };
  for (int i = 0; i < CW_OPT_COUNT; i++) {
    const option_row_t *o = &table[i];
    if (!o->flags[0]) continue;
    if (strcmp(group, o->group) != 0) {
      group = o->group;
      fprintf(out, "\n%s:\n", group);
    }
    int col = fprintf(out, "  ");
    for (const char *p = o->flags; *p;) {
      int n = (int)strcspn(p, " ");
      col += fprintf(out, "%s%.*s", p == o->flags ? "" : ", ", n, p);
      p += n + (p[n] == ' ');
    }
    if (o->metavar) col += fprintf(out, " %s", o->metavar);
    fprintf(out, col < COLUMN - 1 ? "%*s" : "\n%*s",
            col < COLUMN - 1 ? COLUMN - col : COLUMN, "");
    char text[512];
    int n = snprintf(text, sizeof(text), "%s", o->help);
    if (o->type != BOOL && o->def)
      n += snprintf(text + n, sizeof(text) - (size_t)n, " [%s]", o->def);
    if (o->env) snprintf(text + n, sizeof(text) - (size_t)n, " (env %s)", o->env);
    wrap(out, text, COLUMN);
    fputc('\n', out);
  }
}
