/* SPDX-License-Identifier: MIT */
/* Where is Python, and where is its library? Only stat(2) and pyvenv.cfg are asked:
 * starting an interpreter to find out would cost what a whole cold start may. */
#include "launcher/findpy.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "<a><b><c>" cut to PATH_MAX; false where it does not fit. */
static bool join(char out[PATH_MAX], const char *a, const char *b, const char *c) {
  int n = snprintf(out, PATH_MAX, "%s%s%s", a, b, c);
  return n >= 0 && n < PATH_MAX;
}

static bool is_program(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Cuts the last component off. "/usr/bin/python" gives "/usr/bin". */
static void parent(char *path) {
  char *slash = strrchr(path, '/');
  if (slash == path)
    path[1] = '\0';
  else if (slash)
    *slash = '\0';
}

/* The value of `home` in dir/pyvenv.cfg. */
static bool read_home(const char *dir, char out[PATH_MAX]) {
  char path[PATH_MAX], line[PATH_MAX + 64];
  if (!join(path, dir, "/pyvenv.cfg", "")) return false;
  FILE *f = fopen(path, "re");
  bool found = false;
  while (f && !found && fgets(line, sizeof(line), f)) {
    char *eq = strchr(line, '=');
    if (!eq || strncmp(line, "home", 4) != 0 || strcspn(line, " \t=") != 4) continue;
    char *start = eq + 1 + strspn(eq + 1, " \t");
    size_t n = strcspn(start, "\r\n");
    while (n && isspace((unsigned char)start[n - 1])) n--;
    start[n] = '\0';
    found = n > 0 && join(out, start, "", "");
  }
  if (f) fclose(f);
  return found;
}

/* The `home` of the venv that folder `bin` belongs to. */
static bool venv_home(const char *bin, char out[PATH_MAX]) {
  char dir[PATH_MAX];
  if (read_home(bin, out)) return true;
  if (!join(dir, bin, "", "")) return false;
  parent(dir);
  return read_home(dir, out);
}

/* The prefix of the installation that `program` belongs to: for a venv, its base, also
 * where a venv was made from a venv and names that one as its home. */
static bool base_prefix(const char *program, char out[PATH_MAX]) {
  enum { NESTED = 8 };
  char bin[PATH_MAX];
  if (!join(bin, program, "", "")) return false;
  parent(bin);
  int depth = 0;
  while (depth < NESTED && venv_home(bin, out) && strcmp(bin, out) != 0) {
    depth++;
    if (!join(bin, out, "", "")) return false;
  }
  if (depth == 0) {
    if (!realpath(program, out)) return false;
    parent(out);
  }
  parent(out);
  return true;
}

/* Whether the standard library of our version is under `prefix`. */
static bool has_version(const char *prefix) {
  static const char *const dirs[] = {"/lib/python", "/lib64/python"};
  char path[PATH_MAX];
  for (size_t i = 0; i < CW_ARRAY_LEN(dirs); i++)
    if (join(path, prefix, dirs[i], CW_PY_VERSION "/os.py") && access(path, R_OK) == 0)
      return true;
  return false;
}

static void find_library(const char *prefix, char out[PATH_MAX]) {
  static const char *const dirs[] = {"/lib/", "/lib64/", "/lib/" CW_PY_MULTIARCH "/"};
  for (size_t i = 0; i < CW_ARRAY_LEN(dirs); i++)
    if (join(out, prefix, dirs[i], CW_PY_LIBRARY) && access(out, R_OK) == 0) return;
  out[0] = '\0';
}

/* Takes `path` if it is a program; of our version, where `check`. */
static bool take(const char *path, bool check, cw_python_t *out) {
  char prefix[PATH_MAX];
  if (!is_program(path) || !base_prefix(path, prefix)) return false;
  if (check && !has_version(prefix)) return false;
  if (path[0] == '/') {
    if (!join(out->program, path, "", "")) return false;
  } else {
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof(cwd)) || !join(out->program, cwd, "/", path)) return false;
  }
  find_library(prefix, out->library);
  return true;
}

#define VERSIONED "python" CW_PY_VERSION
static const char *const names[] = {"python", "python3", VERSIONED};

static bool take_from_dir(const char *dir, cw_python_t *out) {
  char path[PATH_MAX];
  for (size_t i = 0; i < CW_ARRAY_LEN(names); i++)
    if (join(path, dir, "/", names[i]) && take(path, true, out)) return true;
  return false;
}

static bool take_from_path(const char *name, cw_python_t *out) {
  const char *path = getenv("PATH");
  for (const char *p = path ? path : "/usr/local/bin:/usr/bin:/bin"; *p;) {
    char dir[PATH_MAX], file[PATH_MAX];
    size_t n = strcspn(p, ":");
    if (n < sizeof(dir)) {
      memcpy(dir, p, n);
      dir[n] = '\0';
      if (name) {
        if (join(file, dir, "/", name) && take(file, false, out)) return true;
      } else if (n && take_from_dir(dir, out)) {
        return true;
      }
    }
    p += n + (p[n] == ':');
  }
  return false;
}

int cw_find_python(const char *wanted, cw_python_t *out, char *err, size_t err_len) {
  char dir[PATH_MAX];
  *out = (cw_python_t){{0}, {0}};
  if (wanted) {
    const char *slash = strrchr(wanted, '/');
    /* Nothing else tells a Python from other programs without running it. */
    if (strstr(slash ? slash : wanted, "python") &&
        (slash ? take(wanted, false, out) : take_from_path(wanted, out)))
      return 0;
    snprintf(err, err_len,
             "no Python program at '%s' (option --python or $CWSGI_PYTHON)", wanted);
    return -1;
  }
  ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
  if (n > 0) {
    dir[n] = '\0';
    parent(dir);
    if (take_from_dir(dir, out)) return 0;
  }
  const char *venv = getenv("VIRTUAL_ENV");
  if (venv && *venv && join(dir, venv, "/bin", "") && take_from_dir(dir, out)) return 0;
  if (take_from_path(NULL, out)) return 0;
  snprintf(err, err_len,
           "found no Python " CW_PY_VERSION
           " beside this program, in $VIRTUAL_ENV or on "
           "PATH; name one with --python or $CWSGI_PYTHON");
  return -1;
}
