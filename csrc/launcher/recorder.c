/* SPDX-License-Identifier: MIT */
/* The recorder of --boot-trace. It is text here because no module can be imported
 * before `site` has run, and what that does is to be seen. Every import that is not
 * cached goes through importlib's _find_and_load; replacing it, and a few functions
 * below it, misses none. An event is (ns, thread, kind, text); kind "" ends the last
 * one of its thread, with a number of bytes or None. Wrappers are given the file name
 * of importlib's own code: tracebacks and warnings leave them out as they do that. */
#include "launcher/recorder.h"

/* clang-format off */
#define RECORD                                                                         \
  "def _cwsgi_record():\n"                                                             \
  "  import sys, time, posix, _thread\n"                                               \
  "  import _frozen_importlib as low, _frozen_importlib_external as ext\n"             \
  "  boot = sys.modules['_cwsgi_boot'] = type(sys)('_cwsgi_boot')\n"                   \
  "  now, ident, events, undo = time.perf_counter_ns, _thread.get_ident, [], []\n"     \
  "  def look():\n"                                                                    \
  "    found = []\n"                                                                   \
  "    for name in ('smaps_rollup', 'io'):\n"                                          \
  "      try: fd = posix.open('/proc/self/' + name, posix.O_RDONLY | posix.O_CLOEXEC)\n" \
  "      except OSError: found.append(b''); continue\n"                                \
  "      try: found.append(posix.read(fd, 8192))\n"                                    \
  "      except OSError: found.append(b'')\n"                                          \
  "      finally: posix.close(fd)\n"                                                   \
  "    return (began or now(), *found, time.process_time_ns())\n"                      \
  "  boot.listens, began = False, now()\n"                                             \
  "  boot.interpreter, began, boot.look = look(), 0, look\n"                           \
  "  boot.marks, boot.events, boot.undo = sys.argv.pop(), events, undo\n"              \
  "  put = boot.put = events.append\n"                                                 \
  "  def wrap(holder, name, kind, label, size=None):\n"                                \
  "    inner = getattr(holder, name, None)\n"                                          \
  "    if inner is None: return\n"                                                     \
  "    def outer(*a, **k):\n"                                                          \
  "      put((now(), ident(), kind, label(*a)))\n"                                     \
  "      r = None\n"                                                                   \
  "      try:\n"                                                                       \
  "        r = inner(*a, **k)\n"                                                       \
  "        return r\n"                                                                 \
  "      finally:\n"                                                                   \
  "        put((now(), ident(), '', None if size is None or r is None else size(r)))\n" \
  "    outer.__code__ = outer.__code__.replace(co_filename="                           \
  "'<frozen importlib._bootstrap>')\n"                                                 \
  "    setattr(holder, name, outer)\n"                                                 \
  "    undo.append((holder, name, inner))\n"                                           \
  "  boot.wrap = wrap\n"                                                               \
  "  wrap(low, '_find_and_load', 'import', lambda name, *r: name)\n"                   \
  "  wrap(ext.FileLoader, 'get_data', 'read', lambda s, path: path, len)\n"            \
  "  wrap(ext.SourceLoader, 'source_to_code', 'compile', lambda s, data, path, *r: path)\n" \
  "  wrap(ext.ExtensionFileLoader, 'create_module', 'load', lambda s, spec: spec.origin)\n" \
  "  def audit(event, args):\n"                                                        \
  "    if boot.listens and event == 'open':\n"                                         \
  "      put((now(), ident(), 'open', args))\n"                                        \
  "  boot.listens = True\n"                                                            \
  "  sys.addaudithook(audit)\n"                                                        \
  "  return boot\n"

#define SITE                                                                           \
  "def _cwsgi_site(boot):\n"                                                           \
  "  import sys, time\n"                                                               \
  "  if sys.path[:1] == ['']: del sys.path[0]\n"                                       \
  "  import site\n"                                                                    \
  "  wrap = boot.wrap\n"                                                               \
  "  wrap(site, 'addpackage', 'pth', lambda folder, name, *r: folder + '/' + name)\n"  \
  "  wrap(site, 'execsitecustomize', 'customize', lambda: 'sitecustomize')\n"          \
  "  wrap(site, 'execusercustomize', 'customize', lambda: 'usercustomize')\n"          \
  "  flags, at = list(sys.flags), sys.flags.__match_args__.index('no_site')\n"         \
  "  flags[at], own = 0, {n: getattr(sys.flags, n) for n in dir(sys.flags) if n[0] != '_'}\n" \
  "  own.update(no_site=0, __slots__=(), __repr__=lambda s, text=repr(sys.flags).replace(" \
  "'no_site=1', 'no_site=0'): text)\n"                                                 \
  "  for name in ('count', 'index'): own.pop(name, None)\n"                            \
  "  sys.flags = type('flags', (tuple,), own)(flags)\n"                                \
  "  if '-S' in sys.orig_argv: sys.orig_argv.remove('-S')\n"                           \
  "  site.main()\n"

#define END                                                                            \
  "_cwsgi_boot.site = _cwsgi_boot.look()\n"                                            \
  "del _cwsgi_boot, _cwsgi_record\n"
/* clang-format on */

const char cw_recorder[] = RECORD SITE
    "_cwsgi_boot = _cwsgi_record()\n_cwsgi_site(_cwsgi_boot)\n" END "del _cwsgi_site\n";

const char cw_recorder_plain[] = RECORD "_cwsgi_boot = _cwsgi_record()\n" END;
