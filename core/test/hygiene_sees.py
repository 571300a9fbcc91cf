#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, each rule of hygiene.py finds the faults it is there for, and no others."""
from __future__ import annotations

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import hygiene  # noqa: E402

HEAD = "/* SPDX-License-Identifier: MIT */\n/* A file. */\n"


class Rules(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.write("CMakeLists.txt", "# SPDX-License-Identifier: MIT\n")
        self.write("backends/policy/CMakeLists.txt", "# SPDX-License-Identifier: MIT\nshunt_policy(fifo)\n")

    def tearDown(self) -> None:
        self.folder.cleanup()

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def problems(self, rule: str, name: str, text: str) -> list[str]:
        self.write(name, text)
        return hygiene.RULES[rule](self.root)

    def test_a_pair_of_tags_is_in_order(self) -> None:
        self.assertEqual([], self.problems("tags", "core/a.c", HEAD + """
_Atomic int ready; /* [a:ready] */
void set(void) {
	/* Release [a:ready]: publishes the data. */
	atomic_store_explicit(&ready, 1, memory_order_release);
}
int get(void) {
	/* Acquire [a:ready] pairs with set. */
	return atomic_load_explicit(&ready, memory_order_acquire);
}
"""))

    def test_a_missing_side_is_seen(self) -> None:
        found = self.problems("tags", "core/a.c", HEAD + """
_Atomic int ready; /* [a:ready] */
void set(void) {
	/* Release [a:ready]. */
	atomic_store_explicit(&ready, 1, memory_order_release);
}
""")
        self.assertEqual(["core/a.c:4: tag [a:ready] has no acquire"], found)

    def test_untagged_and_unexplained_accesses_are_seen(self) -> None:
        found = self.problems("tags", "core/a.c", HEAD + """
_Atomic int ready;
int get(void) { return atomic_load_explicit(&ready, memory_order_relaxed); }
void set(void) { atomic_store_explicit(&ready, 1, memory_order_release); }
""")
        self.assertEqual(3, len(found), found)

    def test_a_tag_declared_nowhere_is_seen(self) -> None:
        found = self.problems("tags", "core/a.c", HEAD + """
/* Acquire and release [no:where]. */
int get(void) { return __atomic_exchange_n(&x, 1, __ATOMIC_ACQ_REL); }
""")
        self.assertEqual(["core/a.c:5: tag [no:where] is declared nowhere"], found)

    def test_core_names_no_plugin(self) -> None:
        found = self.problems("layers", "core/a.c", HEAD + 'const char *name = "fifo";\n')
        self.assertEqual(['core/a.c:3: names the policy "fifo"'], found)
        self.assertEqual([], self.problems("layers", "core/a.c", HEAD + "/* as \"fifo\" does */\n"))

    def test_libraries_stay_in_their_files(self) -> None:
        for name, header, count in (
                ("backends/wait/futex.c", "<liburing.h>", 1), ("backends/wait/ring_plan.h", "<liburing.h>", 0),
                ("core/a.c", "<hwloc.h>", 1), ("workloads/a.c", "<pthread.h>", 1), ("workloads/a.c", "<time.h>", 1),
                ("workloads/a.c", '"core/sched.h"', 0), ("backends/policy/fifo.c", '"backends/wait/host.h"', 1),
                ("backends/threads.c", '"backends/threads/threads.h"', 0),
                ("backends/null.c", '"backends/threads/threads.h"', 1)):
            with self.subTest(name=name, header=header):
                found = self.problems("layers", name, HEAD + f"#include {header}\n")
                self.assertEqual(count, len(found), found)
                (self.root / name).unlink()

    def test_heads(self) -> None:
        self.assertEqual([], self.problems("heads", "core/a.c", HEAD))
        self.assertEqual(1, len(self.problems("heads", "core/a.c", "/* A file. */\n")))
        self.assertEqual(1, len(self.problems("heads", "core/a.c",
                                              "/* SPDX-License-Identifier: MIT */\n#include <x.h>\n")))

    def test_rooms(self) -> None:
        self.write("core/b.h", HEAD + "void shunt_b(void);\nvoid shunt_a(void);\n")
        self.write("core/b.c", HEAD + '#include "core/b.h"\nvoid shunt_b(void)\n{\n}\n')
        calls_down = '#include "core/b.h"\nvoid shunt_a(void)\n{\n\tshunt_b();\n}\n'
        self.assertEqual([], self.problems("rooms", "core/a.c", HEAD + calls_down))
        self.write("core/b.c", HEAD + '#include "core/b.h"\nvoid shunt_b(void)\n{\n\tshunt_a();\n}\n')
        found = hygiene.RULES["rooms"](self.root)
        self.assertEqual(1, len(found), found)
        self.assertIn("core/a.c calls shunt_b of core/b.c", found[0])

    def test_rooms_of_the_lab(self) -> None:
        lab = "experiments/shuntlab"
        self.write(f"{lab}/tools/files.py", "import os\n")
        self.write(f"{lab}/commands/run.py", "from ..tools import files\nfrom .list import x\n")
        self.assertEqual([], self.problems("rooms", f"{lab}/commands/list.py", "from ..tools.files import x\n"))
        for name, text, word in (
                (f"{lab}/tools/files.py", "def f():\n    from ..commands import run\n", "a room above"),
                (f"{lab}/commands/list.py", "from . import run\n", "a circle"),
                (f"{lab}/attic/a.py", "", "no room 'attic'")):
            with self.subTest(name=name):
                self.assertIn(word, "\n".join(self.problems("rooms", name, text)))

    def test_docs(self) -> None:
        self.assertEqual([], self.problems("docs", "backends/README.md", "`fifo`\n"))
        self.assertEqual(1, len(self.problems("docs", "backends/README.md", "fifo\n")))

    def test_policies(self) -> None:
        body = HEAD + ("static void a(struct shunt_worker *worker, struct shunt_task *task)\n{\n"
                       "\tuse(worker->env.index, worker->ctx.current, worker->policy_shared, task->key);\n%s}\n")
        name = "backends/policy/a.c"
        self.assertEqual([], self.problems("policies", name, body % ""))
        self.assertEqual([], self.problems("policies", "backends/wait/a.c", body % "\tuse(worker->limit);\n"))
        for reads in ("worker->limit", "worker->ctx.hooks", "task->word"):
            self.assertEqual([f"{name}:6: a policy reads {reads}, which the contract in core/engine/slots.h "
                              "does not name"], self.problems("policies", name, body % f"\tuse({reads});\n"))

    def test_columns(self) -> None:
        self.assertEqual([], self.problems("columns", "core/a.c", HEAD + "\t" + "x" * 92 + "\n"))
        self.assertEqual(["core/a.c:3: 101 columns; at most 100"],
                         self.problems("columns", "core/a.c", HEAD + "\t" + "x" * 93 + "\n"))

    def test_words(self) -> None:
        self.assertEqual([], self.problems("words", "core/a.c", HEAD))
        self.assertEqual(1, len(self.problems("words", "core/a.c", HEAD + "/* FIX" "ME */\n")))


if __name__ == "__main__":
    unittest.main()
