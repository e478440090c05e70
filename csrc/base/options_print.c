/* SPDX-License-Identifier: MIT */
/* What the option table says, for people: --help, the reference page, --print-config.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/options_internal.h"

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
    const cw_option_row_t *o = &cw_options_table[i];
    if (!o->flags[0] || i == CW_OPT_HELP_MARKDOWN) continue;
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

/* ---- the reference page --------------------------------------------------- */

static void put_type(FILE *out, const cw_option_row_t *o) {
  static const char *const types[] = {"whole number", "seconds", "bytes (k, m, g)",
                                      "yes or no",    "text",    "text, repeatable"};
  fprintf(out, "%s", types[o->type]);
}

/* Flags in code font, each with the value's name. */
static void put_flags(FILE *out, const cw_option_row_t *o) {
  for (const char *p = o->flags; *p;) {
    int n = (int)strcspn(p, " ");
    fprintf(out, "%s`%.*s%s%s`", p == o->flags ? "" : ", ", n, p, o->metavar ? " " : "",
            o->metavar ? o->metavar : "");
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
    for (size_t i = 0; i < cw_n_peers; i++)
      if (strstr(cw_peers[i].servers, servers[k]))
        fprintf(out, "| `%s` | %s |\n", cw_peers[i].flag, cw_peers[i].ours);
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
    if (!o->group[0] || i == CW_OPT_HELP_MARKDOWN) continue;
    if (strcmp(group, o->group) != 0) {
      group = o->group;
      fprintf(out, "\n## %s\n", group);
    }
    fprintf(out, "\n### %s\n", o->name);
    if (o->flags[0]) put_flags(out, o);
    fprintf(out, "%s", o->flags[0] ? " - " : "");
    put_type(out, o);
    if (o->type == BOOL)
      fprintf(out, ", %s by default", strcmp(o->def, "1") == 0 ? "yes" : "no");
    else if (o->def && o->def[0])
      fprintf(out, ", default `%s`", o->def);
    if (o->env) fprintf(out, ", environment `%s`", o->env);
    fprintf(out, "\n\n%c%s.\n", toupper((unsigned char)o->help[0]), o->help + 1);
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
    cw_source_t source = s->v[i].source;
    bool variable = source == CW_FROM_ENV || source == CW_FROM_CMD_ARGS;
    if (strcmp(o->group, "Other") == 0 || (given && source == CW_FROM_DEFAULT))
      continue;
    fprintf(out, "%-33s = ", o->name);
    put_value(out, o, &s->v[i]);
    fprintf(out, "  # %s%s\n", variable ? "environment: " : "", source_of(i, source));
  }
}
