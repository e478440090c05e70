/* SPDX-License-Identifier: MIT */
/* The settings and their values; where they come from is in options_read.c. */
#include "base/options_internal.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define table cw_options_table

const cw_option_row_t cw_options_table[CW_OPT_COUNT] = {
#define CW_OPTION(id, name, flags, env, type, def, ...) \
  [CW_OPT_##id] = {name, env, type, def},
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

static bool is_one_of(const char *text, const char *const *words, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (strcasecmp(text, words[i]) == 0) return true;
  return false;
}

static int parse_bool(const char *text, int64_t *out) {
  static const char *const yes[] = {"1", "true", "yes", "y", "on"};
  static const char *const no[] = {"0", "false", "no", "n", "off", ""};
  if (is_one_of(text, yes, CW_ARRAY_LEN(yes)))
    *out = 1;
  else if (is_one_of(text, no, CW_ARRAY_LEN(no)))
    *out = 0;
  else
    return -1;
  return 0;
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

static int parse_num(cw_opt_type_t type, const char *text, int64_t *out) {
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

static const char *expected(cw_opt_type_t type) {
  switch (type) {
    case INT: return "a whole number";
    case SECONDS: return "a number of seconds";
    case BYTES: return "a number of bytes (k, m and g are understood)";
    case BOOL: return "yes or no";
    default: return "text";
  }
}

int cw_option_set(cw_settings_t *s, cw_opt_t id, const char *text, cw_source_t source,
                  const char *spelled, char *err, size_t err_len) {
  const cw_option_row_t *o = &table[id];
  cw_value_t *v = &s->v[id], unused = {0};
  if (source < v->source) v = &unused; /* checked all the same */
  if (o->type == TEXT || o->type == LIST) {
    if (v == &unused) return 0;
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
    if (table[i].def && cw_option_set(s, (cw_opt_t)i, table[i].def, CW_FROM_DEFAULT,
                                      table[i].name, err, sizeof(err)) != 0) {
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
    if (text && *text &&
        cw_option_set(s, (cw_opt_t)i, text, CW_FROM_ENV, table[i].env, err, err_len) !=
            0)
      return -1;
  }
  return 0;
}

int cw_option_named(const char *name, size_t len) {
  for (int i = 0; i < CW_OPT_COUNT; i++)
    if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0) return i;
  return -1;
}

int cw_settings_set_text(cw_settings_t *s, cw_opt_t id, const char *text,
                         cw_source_t source) {
  char err[64];
  return cw_option_set(s, id, text, source, table[id].name, err, sizeof(err));
}

/* Appends "name=value" for each value of a setting. */
static int put_setting(const cw_settings_t *s, int i, const char *list_mark,
                       cw_buf_t *out) {
  const cw_value_t *v = &s->v[i];
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
        (table[i].type == LIST &&
         cw_buf_append(out, list_mark, strlen(list_mark)) != 0) ||
        cw_buf_append(out, "=", 1) != 0 ||
        cw_buf_append(out, value, strlen(value) + 1) != 0)
      return -1;
  }
  return 0;
}

int cw_settings_pack(const cw_settings_t *s, cw_buf_t *out) {
  for (int i = 0; i < CW_OPT_COUNT; i++)
    if (s->v[i].source != CW_FROM_DEFAULT && put_setting(s, i, "", out) != 0) return -1;
  return 0;
}

int cw_settings_entries(const cw_settings_t *s, cw_buf_t *out) {
  for (int i = 0; i < CW_OPT_COUNT; i++)
    if (put_setting(s, i, "[", out) != 0) return -1;
  return 0;
}

int cw_settings_unpack(cw_settings_t *s, const char *data, size_t len) {
  char err[256];
  for (size_t at = 0; at < len; at += strlen(data + at) + 1) {
    const char *p = data + at;
    const char *eq = strchr(p, '=');
    if (!eq) return -1;
    int id = cw_option_named(p, (size_t)(eq - p));
    if (id < 0 || cw_option_set(s, (cw_opt_t)id, eq + 1, CW_FROM_ARGV, table[id].name,
                                err, sizeof(err)) != 0)
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

bool cw_opt_has(const cw_settings_t *s, cw_opt_t id, const char *item) {
  for (unsigned i = 0; i < s->v[id].n_items; i++)
    if (strcmp(s->v[id].items[i], item) == 0) return true;
  return false;
}

const char *cw_settings_name(const cw_settings_t *s) {
  static const cw_opt_t sources[] = {CW_OPT_PROC_NAME, CW_OPT_WSGI_APP, CW_OPT_MOUNT};
  const char *name = NULL;
  for (size_t i = 0; !name && i < CW_ARRAY_LEN(sources); i++)
    name = cw_opt_str(s, sources[i]);
  return name ? name : "";
}

int cw_mode_parse(const char *text) {
  bool octal = text[0] == '0' && (text[1] == 'o' || text[1] == 'O');
  const char *p = octal ? text + 2 : text;
  char *end;
  if (!isxdigit((unsigned char)*p)) return -1;
  long n = strtol(p, &end, octal ? 8 : 0);
  return *end == '\0' && n >= 0 && n <= 07777 ? (int)n : -1;
}

bool cw_settings_have_logger(const cw_settings_t *s) {
  static const char *const own[] = {"", "simple", "gunicorn.glogging.Logger",
                                    "gunicorn.instrument.statsd.Statsd",
                                    "cwsgi.glogging.Logger"};
  const char *name = cw_opt_str(s, CW_OPT_LOGGER_CLASS);
  for (size_t i = 0; name && i < CW_ARRAY_LEN(own); i++)
    if (strcmp(name, own[i]) == 0) return false;
  return name != NULL;
}
