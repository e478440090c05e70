/* SPDX-License-Identifier: MIT */
/* Where settings come from: command lines, CMD_ARGS variables, configuration files. */
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/choices.h"
#include "base/hook_names.h"
#include "base/log.h"
#include "base/options_internal.h"

enum { MAX_WORDS = 512 };

const char *const cw_option_text[CW_OPT_COUNT] = {
#define CW_OPTION(id, name, flags, env, type, def, metavar, group, help) \
  [CW_OPT_##id] = flags "\0" metavar "\0" group "\0" help,
#include "base/options_table.h"
#undef CW_OPTION
};

const cw_foreign_t cw_foreign[] = {
#define CW_FOREIGN(...) {__VA_ARGS__},
#include "base/options_foreign.h"
#undef CW_FOREIGN
};
const size_t cw_n_foreign = CW_ARRAY_LEN(cw_foreign);

/* Packed, as cw_option_text is. An empty flag ends it. */
static const char peers[] =
#define CW_PEER(flag, servers, ours) flag "\0" servers "\0" ours "\0"
#include "base/options_foreign.h"
#undef CW_PEER
    ;

static const char *after(const char *text) {
  return text + strlen(text) + 1;
}

cw_option_words_t cw_words_of(const cw_option_row_t *o) {
  cw_option_words_t w = {.flags = cw_option_text[o - cw_options_table]};
  w.metavar = after(w.flags);
  w.group = after(w.metavar);
  w.help = after(w.group);
  return w;
}

bool cw_next_peer(cw_peer_t *peer) {
  const char *flag = peer->ours ? after(peer->ours) : peers;
  if (!*flag) return false;
  peer->flag = flag;
  peer->servers = after(flag);
  peer->ours = after(peer->servers);
  return true;
}

/* ---- finding a flag ------------------------------------------------------- */

/* Calls for every flag of the table and of gunicorn's other settings. */
typedef struct flag {
  int id;                      /* an option, or -1 */
  const cw_foreign_t *foreign; /* where id is -1 */
  cw_span_t text;
} flag_t;

/* Goes to the next blank-separated flag. False at the end of all. */
static bool next_flag(flag_t *f, size_t *row, const char **at) {
  for (;;) {
    if (*at && **at) {
      size_t n = strcspn(*at, " ");
      f->text = (cw_span_t){*at, n};
      *at += n + ((*at)[n] == ' ');
      return true;
    }
    size_t i = (*row)++;
    f->id = i < CW_OPT_COUNT ? (int)i : -1;
    f->foreign = NULL;
    if (i >= CW_OPT_COUNT + cw_n_foreign) return false;
    if (f->id < 0) f->foreign = &cw_foreign[i - CW_OPT_COUNT];
    *at = f->id >= 0 ? cw_option_text[i] : f->foreign->flags;
  }
}

/* What an option of other servers is here. False: none of them has it. */
static bool find_peer(cw_span_t word, cw_peer_t *peer) {
  *peer = (cw_peer_t){0};
  while (cw_next_peer(peer))
    if (strlen(peer->flag) == word.len && memcmp(peer->flag, word.p, word.len) == 0)
      return true;
  return false;
}

/* "uvicorn, waitress and Granian". */
static void list_servers(const char *servers, char *out, size_t len) {
  size_t n = 0;
  *out = '\0';
  for (const char *p = servers; *p && n < len;) {
    size_t k = strcspn(p, " ");
    bool last = p[k] == '\0';
    n += (size_t)snprintf(out + n, len - n, "%s%.*s",
                          p == servers ? ""
                          : last       ? " and "
                                       : ", ",
                          (int)k, p);
    p += k + !last;
  }
}

/* The flag spelled `word`, or the only one that begins so (as argparse has it) unless
 * another server has one of that very name. */
static bool find_flag(const char *word, size_t len, flag_t *out) {
  flag_t f = {0};
  size_t row = 0;
  unsigned matches = 0;
  for (const char *at = NULL; next_flag(&f, &row, &at);) {
    if (f.text.len < len || memcmp(f.text.p, word, len) != 0) continue;
    if (f.text.len == len) {
      *out = f;
      return true;
    }
    bool other = !matches || f.id != out->id || f.foreign != out->foreign;
    if (len <= 2) continue;
    if (other) matches++;
    *out = f;
  }
  cw_peer_t peer;
  return matches == 1 && !find_peer((cw_span_t){word, len}, &peer);
}

/* Edit distance of two short words, for "did you mean". */
static unsigned distance(cw_span_t a, cw_span_t b) {
  enum { LONGEST = 64 };
  unsigned row[LONGEST + 1];
  if (a.len > LONGEST || b.len > LONGEST) return UINT_MAX;
  for (unsigned j = 0; j <= b.len; j++) row[j] = j;
  for (unsigned i = 1; i <= a.len; i++) {
    unsigned diagonal = row[0];
    row[0] = i;
    for (unsigned j = 1; j <= b.len; j++) {
      unsigned best = diagonal + (a.p[i - 1] != b.p[j - 1]);
      diagonal = row[j];
      best = CW_MIN(best, row[j] + 1);
      best = CW_MIN(best, row[j - 1] + 1);
      row[j] = best;
    }
  }
  return row[b.len];
}

static void complain_unknown(cw_span_t word, char *err, size_t err_len) {
  cw_peer_t peer;
  if (find_peer(word, &peer)) {
    char servers[64];
    list_servers(peer.servers, servers, sizeof(servers));
    snprintf(err, err_len, "%s is an option of %s: here that is %s", peer.flag, servers,
             peer.ours);
    return;
  }
  cw_span_t best = {NULL, 0};
  unsigned best_distance = 4; /* further off is no help */
  flag_t f = {0};
  size_t row = 0;
  for (const char *at = NULL; next_flag(&f, &row, &at);) {
    unsigned d = f.id >= 0 && f.text.len > 2 ? distance(word, f.text) : UINT_MAX;
    if (d < best_distance) {
      best = f.text;
      best_distance = d;
    }
  }
  if (best.p)
    snprintf(err, err_len, "unknown option '%.*s'; did you mean '%.*s'?", (int)word.len,
             word.p, (int)best.len, best.p);
  else
    snprintf(err, err_len, "unknown option '%.*s'; see cwsgi --help", (int)word.len,
             word.p);
}

/* ---- gunicorn's other settings -------------------------------------------- */

/* Whether a value says no more than gunicorn's default. */
static bool is_default(const cw_foreign_t *f, const char *value) {
  static const char socket[] = "gunicorn.ctl"; /* in a folder that differs */
  size_t n = strlen(value), k = sizeof(socket) - 1;
  if (strcmp(f->name, "control_socket") == 0)
    return n >= k && strcmp(value + n - k, socket) == 0;
  for (const char *p = f->defaults; p && *p; p += strspn(p, " ")) {
    size_t len = strcspn(p, " ");
    if (len == n && strncasecmp(p, value, n) == 0) return true;
    p += len;
  }
  return n == 0;
}

static int use_foreign(const cw_foreign_t *f, const char *spelled, const char *value,
                       char *err, size_t err_len) {
  if (f->has_value && is_default(f, value)) return 0;
  if (f->refused) {
    snprintf(err, err_len, "%s cannot be used: %s", spelled, f->text);
    return -1;
  }
  cw_complain("%s has no effect: %s", spelled, f->text);
  return 0;
}

static const cw_foreign_t *foreign_named(cw_span_t name) {
  for (size_t i = 0; i < cw_n_foreign; i++)
    if (strlen(cw_foreign[i].name) == name.len &&
        memcmp(cw_foreign[i].name, name.p, name.len) == 0)
      return &cw_foreign[i];
  return NULL;
}

/* ---- command lines -------------------------------------------------------- */

/* "--workers", or "-w (--workers)". */
static void spell(const flag_t *f, cw_span_t word, char *out, size_t len) {
  const char *flags = f->id >= 0 ? cw_option_text[f->id] : f->foreign->flags;
  const char *longest = strstr(flags, "--");
  if (word.p[1] != '-' && longest)
    snprintf(out, len, "%.*s (%.*s)", (int)word.len, word.p, (int)strcspn(longest, " "),
             longest);
  else
    snprintf(out, len, "%.*s", (int)f->text.len, f->text.p);
}

/* Reads the option at argv[*i] and its value, which may be the next word. */
static int read_option(cw_settings_t *s, int argc, char **argv, int *i,
                       cw_source_t source, char *err, size_t err_len) {
  const char *value = NULL;
  cw_span_t word = {argv[*i], strlen(argv[*i])};
  flag_t f = {0};
  if (word.p[1] == '-') {
    const char *eq = strchr(word.p, '=');
    if (eq) {
      word.len = (size_t)(eq - word.p);
      value = eq + 1;
    }
  } else if (word.len > 2) {
    value = word.p + 2 + (word.p[2] == '=');
    word.len = 2;
  }
  if (!find_flag(word.p, word.len, &f)) {
    complain_unknown(word, err, err_len);
    return -1;
  }
  char spelled[64];
  spell(&f, word, spelled, sizeof(spelled));
  const cw_option_row_t *o = f.id >= 0 ? &cw_options_table[f.id] : NULL;
  if (o ? o->type == BOOL : !f.foreign->has_value) {
    if (value) {
      snprintf(err, err_len, "%s takes no value", spelled);
      return -1;
    }
    value = f.text.len > 5 && memcmp(f.text.p, "--no-", 5) == 0 ? "0" : "1";
  } else if (!value && o && cw_words_of(o).metavar[0] == '[') {
    bool given = *i + 1 < argc && cw_proxy_mode_parse(argv[*i + 1]) >= 0;
    value = given ? argv[++*i] : "auto";
  } else if (!value) {
    if (++*i == argc) {
      snprintf(err, err_len, "%s needs a value%s%s", spelled, o ? ": " : "",
               o ? cw_words_of(o).metavar : "");
      return -1;
    }
    value = argv[*i];
  }
  if (!o) return use_foreign(f.foreign, spelled, value, err, err_len);
  return cw_option_set(s, (cw_opt_t)f.id, value, source, spelled, err, err_len);
}

int cw_settings_read_args(cw_settings_t *s, int argc, char **argv, cw_source_t source,
                          char *err, size_t err_len) {
  bool only_words = false, have_app = false;
  for (int i = 0; i < argc; i++) {
    const char *word = argv[i];
    if (!only_words && strcmp(word, "--") == 0) {
      only_words = true;
    } else if (!only_words && word[0] == '-' && word[1] != '\0') {
      if (read_option(s, argc, argv, &i, source, err, err_len) != 0) return -1;
    } else if (have_app) {
      snprintf(err, err_len, "one app is served; '%s' is one word too many", word);
      return -1;
    } else {
      have_app = true;
      if (cw_option_set(s, CW_OPT_WSGI_APP, word, source, "app", err, err_len) != 0)
        return -1;
    }
  }
  return 0;
}

/* ---- CMD_ARGS ------------------------------------------------------------- */

/* Splits `text` in place as a POSIX shell splits words: quotes and backslashes, no
 * expansion. Returns the number of words, -1 for an open quote or too many words. */
static int split_words(char *text, char **words, int max) {
  int n = 0;
  char *out = text;
  for (char *p = text;;) {
    while (isspace((unsigned char)*p)) p++;
    if (!*p) return n;
    if (n == max) return -1;
    words[n++] = out;
    char quote = '\0';
    for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
      if (quote ? *p == quote : *p == '\'' || *p == '"')
        quote = quote ? '\0' : *p;
      else if (*p == '\\' && p[1] && quote != '\'' &&
               (!quote || p[1] == '"' || p[1] == '\\'))
        *out++ = *++p;
      else
        *out++ = *p;
    }
    if (quote) return -1;
    /* The end is written after the look at *p: it may be the same byte. */
    bool end = !*p;
    *out++ = '\0';
    if (end) return n;
    p++;
  }
}

const char *cw_cmd_args_name(void) {
  return getenv("CWSGI_CMD_ARGS") ? "CWSGI_CMD_ARGS" : "GUNICORN_CMD_ARGS";
}

int cw_settings_read_cmd_args(cw_settings_t *s, char *err, size_t err_len) {
  const char *name = cw_cmd_args_name(), *text = getenv(name);
  if (!text) return 0;
  char **words = calloc(MAX_WORDS, sizeof(*words)), *copy = strdup(text);
  int rc = -1, n = words && copy ? split_words(copy, words, MAX_WORDS) : -1;
  char inner[256];
  if (!words || !copy)
    snprintf(err, err_len, "out of memory");
  else if (n < 0)
    snprintf(err, err_len, "%s: a quote is not closed, or there are too many words",
             name);
  else if ((rc = cw_settings_read_args(s, n, words, CW_FROM_CMD_ARGS, inner,
                                       sizeof(inner))) != 0)
    snprintf(err, err_len, "%s: %s", name, inner);
  free(words);
  free(copy);
  return rc;
}

/* ---- configuration files -------------------------------------------------- */

static bool is_truthy(const char *value) {
  return *value && strcmp(value, "0") != 0;
}

static bool is_hook(cw_span_t name) {
  static const char import[] = CW_HOOKS_IMPORT;
  if (name.len == sizeof(import) - 1 && memcmp(name.p, import, name.len) == 0)
    return true;
  return cw_hook_named(name) != CW_N_HOOKS;
}

/* Appends to a text option what one more element of a sequence says. */
static int join(cw_settings_t *s, int id, const char *value, char *err,
                size_t err_len) {
  const cw_value_t *v = &s->v[id];
  cw_buf_t text = {0};
  int rc = -1;
  bool more = v->source == CW_FROM_FILE && v->n_items;
  if ((more && (cw_buf_append(&text, v->items[0], strlen(v->items[0])) != 0 ||
                cw_buf_append(&text, ",", 1) != 0)) ||
      cw_buf_append(&text, value, strlen(value) + 1) != 0)
    snprintf(err, err_len, "out of memory");
  else
    rc = cw_option_set(s, (cw_opt_t)id, text.p, CW_FROM_FILE, cw_options_table[id].name,
                       err, err_len);
  cw_buf_free(&text);
  return rc;
}

static int read_entry(cw_settings_t *s, const char *entry, char *err, size_t err_len) {
  const char *eq = strchr(entry, '=');
  if (!eq) return 0;
  cw_span_t name = {entry, (size_t)(eq - entry)};
  const char *value = eq + 1;
  bool element = name.len && name.p[name.len - 1] == '[';
  bool function = name.len > 2 && memcmp(eq - 2, "()", 2) == 0;
  name.len -= element ? 1 : function ? 2 : 0;
  int id = cw_option_named(name.p, name.len);
  const cw_foreign_t *foreign = foreign_named(name);
  char spelled[64];
  snprintf(spelled, sizeof(spelled), "%.*s", (int)name.len, name.p);
  /* Whether a value is a default has been seen by who wrote the entry. */
  if (foreign)
    return is_truthy(value) || function || element
               ? use_foreign(foreign, spelled, "given", err, err_len)
               : 0;
  if (function) {
    if (is_hook(name))
      return cw_option_set(s, CW_OPT_HOOKS, spelled, CW_FROM_FILE, "hooks", err,
                           err_len);
    if (id < 0) return 0;
    snprintf(err, err_len, "%s: a function or class cannot be used here", spelled);
    return -1;
  }
  if (id < 0 || (!cw_words_of(&cw_options_table[id]).group[0] && id != CW_OPT_ENVIRON))
    return 0;
  if (element && cw_options_table[id].type == TEXT)
    return join(s, id, value, err, err_len);
  return cw_option_set(s, (cw_opt_t)id, value, CW_FROM_FILE, spelled, err, err_len);
}

int cw_settings_read_file(cw_settings_t *s, const char *data, size_t len, char *err,
                          size_t err_len) {
  for (size_t at = 0; at < len; at += strlen(data + at) + 1)
    if (read_entry(s, data + at, err, err_len) != 0) return -1;
  return 0;
}
