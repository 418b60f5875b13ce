"""Performance comparisons: ``./run bench``.

Every module is one part and has a function ``measure(threads, repeats) -> dict``; the harness
(``benchmarks.harness``) runs each part in a process of its own, once per thread count.
"""
