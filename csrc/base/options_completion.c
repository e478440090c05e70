/* SPDX-License-Identifier: MIT */
/* Completion scripts for shells, from the option table. */
#include <string.h>

#include "base/options_internal.h"

/* Calls for every flag of every option, in the table's order. */
static void each_flag(FILE *out, void (*put)(FILE *out, const cw_option_row_t *o,
                                             const char *flag, int len)) {
  for (int i = 0; i < CW_OPT_COUNT; i++) {
    const cw_option_row_t *o = &cw_options_table[i];
    for (const char *p = cw_option_text[i]; *p;) {
      int n = (int)strcspn(p, " ");
      put(out, o, p, n);
      p += n + (p[n] == ' ');
    }
  }
}

static bool takes_file(const cw_option_row_t *o) {
  static const char *const files[] = {"FILE", "PATH", "DIR", "DIRS"};
  for (size_t i = 0; i < CW_ARRAY_LEN(files); i++)
    if (strcmp(cw_words_of(o).metavar, files[i]) == 0) return true;
  return false;
}

/* ---- bash ----------------------------------------------------------------- */

static void put_word(FILE *out, const cw_option_row_t *o, const char *flag, int len) {
  fprintf(out, " %.*s", len, flag);
}

static void put_file_flag(FILE *out, const cw_option_row_t *o, const char *flag,
                          int len) {
  if (takes_file(o)) fprintf(out, "%.*s|", len, flag);
}

static void put_value_flag(FILE *out, const cw_option_row_t *o, const char *flag,
                           int len) {
  if (o->type != BOOL && !takes_file(o)) fprintf(out, "%.*s|", len, flag);
}

static void put_commands(FILE *out, const cw_command_t *commands) {
  for (const cw_command_t *c = commands; c->word; c++)
    fprintf(out, "%s%s", c == commands ? "" : " ", c->word);
}

/* Words after a tool are the tool's own. */
static void bash(FILE *out, const cw_command_t *commands) {
  fputs(
      "_cwsgi() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local tools='",
      out);
  put_commands(out, commands);
  fputs(
      "'\n"
      "  [[ $COMP_CWORD -gt 1 && \" $tools \" == *\" ${COMP_WORDS[1]} \"* ]] && "
      "return\n"
      "  [[ $COMP_CWORD -eq 1 && $word != -* ]] && "
      "COMPREPLY=($(compgen -W \"$tools\" -- \"$word\"))\n"
      "  case $before in\n    ",
      out);
  each_flag(out, put_file_flag);
  fputs(
      "--) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
      "    --completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$word\")); "
      "return ;;\n"
      "    ",
      out);
  each_flag(out, put_value_flag);
  fputs(
      "---) return ;;\n"
      "  esac\n"
      "  [[ $word == -* ]] && COMPREPLY=($(compgen -W '",
      out);
  each_flag(out, put_word);
  fputs("' -- \"$word\"))\n}\ncomplete -o default -F _cwsgi cwsgi\n", out);
}

/* ---- zsh and fish --------------------------------------------------------- */

/* A text in single quotes, cut before its first sentence's end. */
static void put_quoted(FILE *out, const char *text, const char *escaped) {
  for (const char *p = text; *p; p++) {
    if (*p == '\'')
      fputs("'\\''", out);
    else if (strchr(escaped, *p))
      fprintf(out, "\\%c", *p);
    else
      fputc(*p, out);
  }
}

static void put_zsh(FILE *out, const cw_option_row_t *o, const char *flag, int len) {
  fprintf(out, "  '*%.*s%s[", len, flag,
          o->type == BOOL  ? ""
          : flag[1] == '-' ? "="
                           : "+");
  put_quoted(out, cw_words_of(o).help, "[]:\\");
  fputs("]", out);
  if (o->type != BOOL) {
    fputs(":", out);
    put_quoted(out, cw_words_of(o).metavar, "[]:\\");
    fputs(takes_file(o)                        ? ":_files"
          : strcmp(o->name, "completion") == 0 ? ":(bash zsh fish)"
                                               : ":",
          out);
  }
  fputs("' \\\n", out);
}

static void zsh(FILE *out, const cw_command_t *commands) {
  fputs("#compdef cwsgi\n_cwsgi() {\n_arguments \\\n", out);
  each_flag(out, put_zsh);
  fputs("  '1:app or tool:(", out);
  put_commands(out, commands);
  fputs(")'\n}\ncompdef _cwsgi cwsgi\n", out);
}

static void put_fish(FILE *out, const cw_option_row_t *o, const char *flag, int len) {
  bool is_long = flag[1] == '-';
  int dashes = is_long ? 2 : 1;
  fprintf(out, "complete -c cwsgi -%c %.*s", is_long ? 'l' : 's', len - dashes,
          flag + dashes);
  if (o->type != BOOL) fputs(takes_file(o) ? " -r -F" : " -x", out);
  if (strcmp(o->name, "completion") == 0) fputs(" -a 'bash zsh fish'", out);
  fputs(" -d '", out);
  put_quoted(out, cw_words_of(o).help, "\\");
  fputs("'\n", out);
}

static void fish(FILE *out, const cw_command_t *commands) {
  each_flag(out, put_fish);
  for (const cw_command_t *c = commands; c->word; c++) {
    fprintf(out, "complete -c cwsgi -n __fish_use_subcommand -f -a %s -d '", c->word);
    put_quoted(out, c->help, "\\");
    fputs("'\n", out);
  }
}

int cw_options_completion(const char *shell, const cw_command_t *commands, FILE *out) {
  if (strcmp(shell, "bash") == 0)
    bash(out, commands);
  else if (strcmp(shell, "zsh") == 0)
    zsh(out, commands);
  else if (strcmp(shell, "fish") == 0)
    fish(out, commands);
  else
    return -1;
  return 0;
}
