/* SPDX-License-Identifier: MIT */
/* Running Python code, by the library or by the program. */
#include "launcher/interpreter.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/marks.h"
#include "launcher/recorder.h"

/* sys.path[0] is -c's current folder: the worker puts the app's folder there itself,
 * after its own module is in, so that no file of the app can pose as cwsgi. The path of
 * the Python that `python -m cwsgi` ran in comes first where it differs: a PEX file or
 * another tool may have made it. */
#define NO_CWD                                                      \
  "import os, sys\n"                                                \
  "if sys.path[:1] == ['']: del sys.path[0]\n"                      \
  "path = os.environ.pop('CWSGI_SYS_PATH', '').split(os.pathsep)\n" \
  "if path != ['']: "                                               \
  "sys.path[:] = path + [p for p in sys.path if p not in path]\n"   \
  "del path\n"

#define TEXT_OF(n) #n
#define TEXT(n) TEXT_OF(n)

static const char worker_code[] = NO_CWD
    "try:\n"
    "  from cwsgi._core import _worker\n"
    "except ImportError:\n"
    "  sys.excepthook(*sys.exc_info())\n"
    "  sys.exit(" TEXT(CW_EXIT_NO_PACKAGE) ")\n"
    "sys.exit(_worker(int(sys.argv[1]), int(sys.argv[2])))\n";

/* $CWSGI_INTERPRETER=exec or =embed chooses; else the library where there is one. */
static bool embeds(const cw_python_t *python) {
  const char *how = getenv("CWSGI_INTERPRETER");
  if (how && strcmp(how, "exec") == 0) return false;
  return python->library[0] != '\0';
}

/* Whether a word of the interpreter's command line has -S in it. */
static bool leaves_site_out(const char *flag) {
  return flag[0] == '-' && flag[1] != '-' && !strchr("WX", flag[1]) &&
         strchr(flag, 'S');
}

/* `code` behind what records the start. Lives as long as the process. */
static const char *recorded(const char *code, bool without_site) {
  char *whole = NULL;
  const char *recorder = without_site ? cw_recorder_plain : cw_recorder;
  if (asprintf(&whole, "%s%s", recorder, code) < 0) {
    cw_complain("out of memory");
    _exit(CW_EXIT_CONFIG);
  }
  return whole;
}

/* Options that come before the code: those of the Python that `python -m cwsgi` ran in,
 * each ended by a unit separator. Returns how many there are. Cuts `flags`. */
static int split_flags(char *flags, char **out) {
  char *flag;
  int n = 0;
  while (flags && (flag = strsep(&flags, "\x1f")) != NULL)
    if (*flag) out[n++] = flag;
  return n;
}

/* Runs Python code in this process: `code` as -c takes it, with `args` (NULL-ended) as
 * sys.argv[1:]. */
static CW_NORETURN void run(const cw_python_t *python, const char *code,
                            const char *const *args) {
  enum { OTHERS = 7 }; /* the program, -u, -S, -c, the code, the marks, NULL */
  static char marks[CW_MARKS_TEXT];
  const char *given = getenv("CWSGI_PYTHON_FLAGS");
  char *flags = given ? strdup(given) : NULL;
  size_t room = OTHERS + (flags ? strlen(flags) : 0);
  for (const char *const *a = args; *a; a++) room++;
  char **argv = calloc(room, sizeof(*argv));
  if (!argv || (given && !flags)) {
    cw_complain("out of memory");
    _exit(CW_EXIT_CONFIG);
  }
  int argc = 0;
  argv[argc++] = cw_unconst(python->program);
  argc += split_flags(flags, argv + argc);
  bool without_site = false;
  for (int i = 1; i < argc; i++) without_site |= leaves_site_out(argv[i]);
  unsetenv("CWSGI_PYTHON_FLAGS");
  /* -u: what an app prints in a container should be seen at once. */
  argv[argc++] = cw_unconst("-u");
  /* The recorder runs `site` itself. */
  if (cw_marks_on() && !without_site) argv[argc++] = cw_unconst("-S");
  argv[argc++] = cw_unconst("-c");
  argv[argc++] = cw_unconst(cw_marks_on() ? recorded(code, without_site) : code);
  while (*args) argv[argc++] = cw_unconst(*args++);
  if (cw_marks_on()) argv[argc++] = marks;
  if (embeds(python)) {
    void *lib = dlopen(python->library, RTLD_LAZY | RTLD_GLOBAL);
    cw_mark("library");
    cw_marks_text(marks, sizeof(marks));
    int (*bytes_main)(int, char **) = NULL;
    if (lib) *(void **)&bytes_main = dlsym(lib, "Py_BytesMain");
    if (bytes_main) exit(bytes_main(argc, argv));
    cw_log(CW_LOG_WARNING, "cannot use %s: %s; starting %s instead", python->library,
           dlerror(), python->program);
  }
  cw_marks_text(marks, sizeof(marks));
  execv(python->program, argv);
  cw_complain("cannot start %s: %s", python->program, strerror(errno));
  _exit(CW_EXIT_CONFIG);
}

void cw_interpreter_run_worker(const cw_python_t *python, int fd, int slot) {
  char fd_text[16], slot_text[16];
  snprintf(fd_text, sizeof(fd_text), "%d", fd);
  snprintf(slot_text, sizeof(slot_text), "%d", slot);
  run(python, worker_code, (const char *const[]){fd_text, slot_text, NULL});
}

#define MAIN_OF(module)       \
  NO_CWD "from cwsgi." module \
         " import main\nsys.exit(main(int(sys.argv[1]), *sys.argv[2:]))\n"

void cw_interpreter_run_hooks(const cw_python_t *python, int fd, const char *config,
                              const char *folder, const char *log) {
  char text[16];
  snprintf(text, sizeof(text), "%d", fd);
  cw_marks_disable();
  run(python, MAIN_OF("_master"),
      (const char *const[]){text, config, folder, log, NULL});
}

void cw_interpreter_run_config(const cw_python_t *python, int fd, const char *config) {
  char text[16];
  snprintf(text, sizeof(text), "%d", fd);
  cw_marks_disable();
  run(python, MAIN_OF("_config"), (const char *const[]){text, config, NULL});
}

/* Its words are ours to read: a traceback would not say what to do. */
static const char tool_code[] = NO_CWD
    "try:\n"
    "  from cwsgi._tools import main\n"
    "except ImportError as error:\n"
    "  sys.exit('cwsgi: %s has no cwsgi of this version (%s); install it there, or "
    "name '"
    "    'another Python with $CWSGI_PYTHON' % (sys.executable, error))\n"
    "sys.exit(main(*sys.argv[1:]))\n";

void cw_interpreter_run_tool(const cw_python_t *python, const char *const *words) {
  run(python, tool_code, words);
}

static int embedded_version(const cw_python_t *python, char *out, size_t len) {
  void *lib = dlopen(python->library, RTLD_LAZY);
  const char *(*get)(void) = NULL;
  if (lib) *(void **)&get = dlsym(lib, "Py_GetVersion");
  if (!get) return -1;
  const char *text = get();
  snprintf(out, len, "%.*s", (int)strcspn(text, " "), text);
  return 0;
}

static int executed_version(const cw_python_t *python, char *out, size_t len) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return -1;
  pid_t pid = cw_child_fork(&(cw_child_t){.death_signal = SIGKILL});
  if (pid == 0) {
    dup2(fds[1], STDOUT_FILENO);
    execl(python->program, python->program, "-ISc",
          "import sys; print('.'.join(map(str, sys.version_info[:3])))", (char *)NULL);
    _exit(127);
  }
  close(fds[1]);
  ssize_t n = pid > 0 ? read(fds[0], out, len - 1) : -1;
  close(fds[0]);
  int status = 0;
  if (pid > 0) waitpid(pid, &status, 0);
  if (n <= 0 || status != 0) return -1;
  out[n] = '\0';
  out[strcspn(out, "\n")] = '\0';
  return 0;
}

int cw_interpreter_version(const cw_python_t *python, char *out, size_t len) {
  return embeds(python) ? embedded_version(python, out, len)
                        : executed_version(python, out, len);
}
