/* SPDX-License-Identifier: MIT */
/* What the option table says, for people: --help, the reference page, --print-config.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/options_internal.h"

enum { COLUMN = 26, NARROW = 60, WIDE = 120, USUAL = 80 };

/* Columns of the terminal that `out` is, within reason. */
static int width_of(FILE *out) {
  struct winsize size;
  if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return USUAL;
  return CW_MIN(CW_MAX((int)size.ws_col, NARROW), WIDE);
}

/* Prints `text` from column `at`, broken between words before column `width`. */
static void wrap(FILE *out, const char *text, int at, int width) {
  int col = at;
  while (*text) {
    int n = (int)strcspn(text, " ");
    if (col > at && col + 1 + n > width) {
      fprintf(out, "\n%*s", at, "");
      col = at;
    }
    col += fprintf(out, "%s%.*s", col > at ? " " : "", n, text);
    text += n + (text[n] == ' ');
  }
}

/* What an option does, with its default and its variable. */
static void explain(const cw_option_row_t *o, char *text, size_t len) {
  int n = snprintf(text, len, "%s", cw_words_of(o).help);
  if (o->type != BOOL && o->def)
    n += snprintf(text + n, len - (size_t)n, " [%s]", o->def);
  if (o->env) snprintf(text + n, len - (size_t)n, " (env %s)", o->env);
}

static void put_row(FILE *out, const char *left, const char *right, int width) {
  int col = fprintf(out, "  %s", left);
  fprintf(out, col < COLUMN - 1 ? "%*s" : "\n%*s",
          col < COLUMN - 1 ? COLUMN - col : COLUMN, "");
  wrap(out, right, COLUMN, width);
  fputc('\n', out);
}

/* Rows of two columns, until one that is NULL. */
static void put_rows(FILE *out, const char *title, const char *const rows[][2],
                     int width) {
  fprintf(out, "\n%s:\n", title);
  for (; (*rows)[0]; rows++) put_row(out, (*rows)[0], (*rows)[1], width);
}

static const char *const examples[][2] = {
    {"cwsgi main:app", "app of main.py at 0.0.0.0:$PORT, else port 8080"},
    {"cwsgi -w 2 --threads 4 main:app", "two processes with four threads each"},
    {"cwsgi -b unix:/run/app.sock main:app", "behind a front end on this machine"},
    {"cwsgi --reload main:app", "for development"},
    {"cwsgi --check-config main:app", "can it be served?"},
    {NULL, NULL}};

static const char *const exit_codes[][2] = {
    {"0", "stopped as asked"},
    {"1", "bad configuration, an address that cannot be had, a check that failed"},
    {"2", "wrong usage of the command line"},
    {"3", "a worker could not start, or the app's import raised"},
    {"4", "the app is missing, not callable, or no WSGI app"},
    {NULL, NULL}};

static const char *const signal_names[][2] = {
    {"TERM", "stop: running requests finish"},
    {"INT, QUIT", "stop quickly"},
    {"HUP", "read settings and code again, without a gap"},
    {"USR1", "open log files again"},
    {"USR2", "start a new cwsgi beside this one; WINCH and QUIT end the old one"},
    {"TTIN, TTOU", "a worker more, a worker less"},
    {NULL, NULL}};

static const char *const variables[][2] = {
    {"PORT", "port of --bind where that names none"},
    {"WEB_CONCURRENCY", "--workers"},
    {"FORWARDED_ALLOW_IPS", "--forwarded-allow-ips"},
    {"CWSGI_CMD_ARGS", "more words of the command line; else GUNICORN_CMD_ARGS"},
    {"CWSGI_PYTHON", "--python"},
    {"SCRIPT_NAME", "path that the app is below"},
    {"SENDFILE", "--sendfile"},
    {"LISTEN_FDS, LISTEN_PID", "sockets from systemd; NOTIFY_SOCKET to tell it"},
    {NULL, NULL}};

static const struct {
  const char *title;
  const char *const (*rows)[2];
} appendix[] = {{"Examples", examples},
                {"Exit codes", exit_codes},
                {"Signals", signal_names},
                {"Environment", variables}};

static const char docs[] = "docs/ of the source; docs/settings.md has all settings";

void cw_options_help(const cw_command_t *commands, FILE *out) {
  const char *group = "";
  int width = width_of(out);
  fputs(
      "\nTools (cwsgi TOOL --help; an app of that name is served as cwsgi -- TOOL):\n",
      out);
  for (const cw_command_t *c = commands; c->word; c++)
    put_row(out, c->word, c->help, width);
  for (int i = 0; i < CW_OPT_COUNT; i++) {
    const cw_option_row_t *o = &cw_options_table[i];
    cw_option_words_t w = cw_words_of(o);
    if (!w.flags[0] || i == CW_OPT_HELP_MARKDOWN || i == CW_OPT_HELP_MAN) continue;
    if (strcmp(group, w.group) != 0) {
      group = w.group;
      fprintf(out, "\n%s:\n", group);
    }
    int col = fprintf(out, "  ");
    for (const char *p = w.flags; *p;) {
      int n = (int)strcspn(p, " ");
      col += fprintf(out, "%s%.*s", p == w.flags ? "" : ", ", n, p);
      p += n + (p[n] == ' ');
    }
    if (w.metavar[0]) col += fprintf(out, " %s", w.metavar);
    fprintf(out, col < COLUMN - 1 ? "%*s" : "\n%*s",
            col < COLUMN - 1 ? COLUMN - col : COLUMN, "");
    char text[512];
    explain(o, text, sizeof(text));
    wrap(out, text, COLUMN, width);
    fputc('\n', out);
  }
  for (size_t i = 0; i < CW_ARRAY_LEN(appendix); i++)
    put_rows(out, appendix[i].title, appendix[i].rows, width);
  fprintf(out, "\nDocumentation: %s\n", docs);
}

/* ---- the manual page ------------------------------------------------------ */

/* A text in troff's form: its special characters escaped. */
static void put_roff(FILE *out, const char *text) {
  for (const char *p = text; *p; p++) {
    if (p == text && (*p == '.' || *p == '\'')) fputs("\\&", out);
    if (*p == '\\')
      fputs("\\e", out);
    else if (*p == '-')
      fputs("\\-", out);
    else
      fputc(*p, out);
  }
}

static void put_roff_row(FILE *out, const char *left, const char *right) {
  fputs("\n.TP\n.B ", out);
  put_roff(out, left);
  fputc('\n', out);
  put_roff(out, right);
}

static void put_roff_rows(FILE *out, const char *title, const char *const rows[][2]) {
  fprintf(out, ".SH ");
  for (const char *p = title; *p; p++) fputc(toupper((unsigned char)*p), out);
  for (; (*rows)[0]; rows++) put_roff_row(out, (*rows)[0], (*rows)[1]);
  fputc('\n', out);
}

void cw_options_man(const cw_command_t *commands, FILE *out) {
  const char *group = "";
  fputs(
      ".TH CWSGI 1\n.SH NAME\ncwsgi \\- serve a WSGI app over HTTP\n"
      ".SH SYNOPSIS\n.B cwsgi\n[\\fIoptions\\fR] \\fIAPP\\fR\n.br\n.B "
      "cwsgi\n\\fITOOL\\fR ...\n"
      ".SH DESCRIPTION\nServes a Python WSGI application over HTTP/1.1. \\fIAPP\\fR is "
      "module:name, module:name.attr,\nmodule:factory(\"arg\"), or a module that has "
      "an "
      "application or an app.\n.SH TOOLS",
      out);
  for (const cw_command_t *c = commands; c->word; c++)
    put_roff_row(out, c->word, c->help);
  fputs("\n.SH OPTIONS\n", out);
  for (int i = 0; i < CW_OPT_COUNT; i++) {
    const cw_option_row_t *o = &cw_options_table[i];
    cw_option_words_t w = cw_words_of(o);
    if (!w.flags[0] || i == CW_OPT_HELP_MARKDOWN || i == CW_OPT_HELP_MAN) continue;
    if (strcmp(group, w.group) != 0) fprintf(out, ".SS %s\n", group = w.group);
    fputs(".TP\n", out);
    for (const char *p = w.flags; *p;) {
      int n = (int)strcspn(p, " ");
      char flag[64];
      snprintf(flag, sizeof(flag), "%.*s", n, p);
      fputs(p == w.flags ? "\\fB" : ", \\fB", out);
      put_roff(out, flag);
      fputs("\\fR", out);
      p += n + (p[n] == ' ');
    }
    if (w.metavar[0]) fprintf(out, " \\fI%s\\fR", w.metavar);
    fputc('\n', out);
    char text[512];
    explain(o, text, sizeof(text));
    put_roff(out, text);
    fputc('\n', out);
  }
  for (size_t i = 0; i < CW_ARRAY_LEN(appendix); i++)
    put_roff_rows(out, appendix[i].title, appendix[i].rows);
  fprintf(out, ".SH SEE ALSO\n%s\n", docs);
}

/* ---- the reference page --------------------------------------------------- */

static void put_type(FILE *out, const cw_option_row_t *o) {
  static const char *const types[] = {"whole number", "seconds", "bytes (k, m, g)",
                                      "yes or no",    "text",    "text, repeatable"};
  fprintf(out, "%s", types[o->type]);
}

/* Flags in code font, each with the value's name. */
static void put_flags(FILE *out, const cw_option_row_t *o) {
  cw_option_words_t w = cw_words_of(o);
  for (const char *p = w.flags; *p;) {
    int n = (int)strcspn(p, " ");
    fprintf(out, "%s`%.*s%s%s`", p == w.flags ? "" : ", ", n, p,
            w.metavar[0] ? " " : "", w.metavar);
    p += n + (p[n] == ' ');
  }
}

/* A table for each of the other servers. */
static void put_peers(FILE *out) {
  static const char *const servers[] = {"uvicorn", "uWSGI", "waitress", "Granian",
                                        "hypercorn"};
  fputs(
      "\n## Options of other servers\n\n"
      "cwsgi names its own where one of these is used. Those that it has under the "
      "same "
      "name are left out.\n",
      out);
  for (size_t k = 0; k < CW_ARRAY_LEN(servers); k++) {
    fprintf(out, "\n| %s | cwsgi |\n|---|---|\n", servers[k]);
    for (cw_peer_t peer = {0}; cw_next_peer(&peer);)
      if (strstr(peer.servers, servers[k]))
        fprintf(out, "| `%s` | %s |\n", peer.flag, peer.ours);
  }
}

void cw_options_markdown(FILE *out) {
  const char *group = "";
  fputs(
      "# Settings\n\n"
      "Written by `cwsgi --help-markdown` from the one table of options. A setting's "
      "name is its key in a\nconfiguration file. What is given on the command line "
      "wins "
      "over `CWSGI_CMD_ARGS` (or `GUNICORN_CMD_ARGS`),\nthat over the configuration "
      "file, that over other environment variables, those over the default.\n",
      out);
  for (int i = 0; i < CW_OPT_COUNT; i++) {
    const cw_option_row_t *o = &cw_options_table[i];
    cw_option_words_t w = cw_words_of(o);
    if (!w.group[0] || i == CW_OPT_HELP_MARKDOWN || i == CW_OPT_HELP_MAN) continue;
    if (strcmp(group, w.group) != 0) {
      group = w.group;
      fprintf(out, "\n## %s\n", group);
    }
    fprintf(out, "\n### %s\n", o->name);
    if (w.flags[0]) put_flags(out, o);
    fprintf(out, "%s", w.flags[0] ? " - " : "");
    put_type(out, o);
    if (o->type == BOOL)
      fprintf(out, ", %s by default", strcmp(o->def, "1") == 0 ? "yes" : "no");
    else if (o->def && o->def[0])
      fprintf(out, ", default `%s`", o->def);
    if (o->env) fprintf(out, ", environment `%s`", o->env);
    fprintf(out, "\n\n%c%s.\n", toupper((unsigned char)w.help[0]), w.help + 1);
  }
  fputs("\n## gunicorn's settings that have no meaning here\n", out);
  for (int refused = 0; refused < 2; refused++) {
    fprintf(out, "\n%s\n\n",
            refused ? "An error where they are used with another value than gunicorn's "
                      "own default:"
                    : "Accepted with a notice:");
    for (size_t i = 0; i < cw_n_foreign; i++)
      if (cw_foreign[i].refused == refused)
        fprintf(out, "- `%s`: %s\n", cw_foreign[i].name, cw_foreign[i].text);
  }
  put_peers(out);
  /* All but the examples. */
  for (size_t i = 1; i < CW_ARRAY_LEN(appendix); i++) {
    fprintf(out, "\n## %s\n\n| | |\n|---|---|\n", appendix[i].title);
    for (const char *const(*row)[2] = appendix[i].rows; (*row)[0]; row++)
      fprintf(out, "| %s | %s |\n", (*row)[0], (*row)[1]);
  }
}

/* ---- --print-config ------------------------------------------------------- */

static void put_value(FILE *out, const cw_option_row_t *o, const cw_value_t *v) {
  switch (o->type) {
    case BOOL: fputs(v->num ? "True" : "False", out); break;
    case SECONDS:
      fprintf(out, v->num % 1000 ? "%lld.%03lld" : "%lld", (long long)v->num / 1000,
              (long long)v->num % 1000);
      break;
    case INT:
    case BYTES: fprintf(out, "%lld", (long long)v->num); break;
    case TEXT: fputs(v->n_items ? v->items[0] : "None", out); break;
    case LIST:
      for (unsigned i = 0; i < v->n_items; i++)
        fprintf(out, "%s%s", i ? ", " : "", v->items[i]);
      if (!v->n_items) fputs("None", out);
      break;
  }
}

/* Where a value came from; the variable, where it was one. */
static const char *source_of(int id, cw_source_t source) {
  const char *env = id == CW_OPT_BIND ? "PORT" : cw_options_table[id].env;
  switch (source) {
    case CW_FROM_ENV:
      /* Cloud Run: what is known of it was worked out. */
      return env && getenv(env) && *getenv(env) ? env : "K_SERVICE";
    case CW_FROM_CMD_ARGS: return cw_cmd_args_name();
    case CW_FROM_FILE: return "configuration file";
    case CW_FROM_ARGV: return "command line";
    default: return "default";
  }
}

void cw_settings_print(const cw_settings_t *s, bool given, FILE *out) {
  for (int i = 0; i < CW_OPT_COUNT; i++) {
    const cw_option_row_t *o = &cw_options_table[i];
    cw_option_words_t w = cw_words_of(o);
    cw_source_t source = s->v[i].source;
    bool variable = source == CW_FROM_ENV || source == CW_FROM_CMD_ARGS;
    if (strcmp(w.group, "Other") == 0 || (given && source == CW_FROM_DEFAULT)) continue;
    fprintf(out, "%-33s = ", o->name);
    put_value(out, o, &s->v[i]);
    fprintf(out, "  # %s%s\n", variable ? "environment: " : "", source_of(i, source));
  }
}
