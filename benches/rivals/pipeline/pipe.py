"""The assets of examples/tpch in an order in which they can be computed, each with the names that it reads."""
import glob, os, re

ASSETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../examples/tpch/assets')
SOURCES = ['customer', 'lineitem', 'nation', 'orders', 'part', 'partsupp', 'region', 'supplier']
READ = re.compile(r'\b(FROM|JOIN)(\s+)(\w+)', re.IGNORECASE)


class A:
    def __init__(self, name, text, names):
        self.name, self.text = name, text
        read = {found[3] for found in READ.finditer(text)}
        self.refs, self.srcs = sorted(read & names), sorted(read & set(SOURCES))

    def sql(self, ref=lambda name: name, src=lambda name: name):
        def name(found):
            table = found[3]
            table = ref(table) if table in self.refs else src(table) if table in self.srcs else table
            return found[1] + found[2] + table
        return READ.sub(name, self.text).strip()


def assets():
    texts = {os.path.basename(f)[:-4]: open(f).read() for f in sorted(glob.glob(ASSETS + '/*.sql'))}
    every = {name: A(name, text, set(texts)) for name, text in texts.items()}
    out, seen = [], set()

    def visit(name):
        if name in seen:
            return
        seen.add(name)
        for read in every[name].refs:
            visit(read)
        out.append(every[name])

    first = ['stg_lineitem', 'stg_orders', 'fct_order_lines']
    for name in first + [name for name in every if name not in first]:
        visit(name)
    return out
