"""The documentation beside the package: what is generated is up to date, names exist, figures have records, links lead on."""

import inspect
import re
import runpy
import shutil
import sys
from collections import Counter
from functools import reduce
from html import escape
from xml.etree import ElementTree

import pytest
import yaml

import keras_mgnet
from keras_mgnet import create_model, export, list_models, model_info
from keras_mgnet.layers import Method, steps
from keras_mgnet.models import FAMILIES
from support import ROOT
from support.pages import without_fences

DOCS = ROOT / "docs"
FAMILY_NAMES = [family.__name__ for family in FAMILIES]
MATHML = "{http://www.w3.org/1998/Math/MathML}"
SVG = "{http://www.w3.org/2000/svg}"
LAYERS = [module for name, module in sys.modules.items() if name.startswith("keras_mgnet.layers")]
CLASSES = {cls for module in LAYERS for cls in vars(module).values() if isinstance(cls, type)}
STEPS = {method.step for cls in CLASSES for method in vars(cls).values() if isinstance(method, Method)}


@pytest.fixture(scope="module")
def inline():
    return runpy.run_path(str(DOCS / "generate" / "tex.py"))["inline"]


@pytest.fixture(scope="module")
def generated():
    """What docs/generate writes, by path below docs."""
    return runpy.run_path(str(DOCS / "generate"), run_name="generate")["generated"]()


def table_rows(text):
    """The cells of every line of a table but its headings."""
    lines = re.findall(r"^\|(.*)\|$", text, flags=re.MULTILINE)
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    rule = [set("".join(row)) <= set("-") for row in cells]
    return [row for row, here, next_ in zip(cells, rule, [*rule[1:], False], strict=True) if not (here or next_)]


def section(page, title):
    return re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", page, flags=re.DOTALL | re.MULTILINE)[1]


def resolve(path):
    """The object at a path below keras_mgnet."""
    try:
        return reduce(getattr, path.split("."), keras_mgnet)
    except AttributeError:
        module, _, name = path.rpartition(".")
        return getattr(__import__(f"keras_mgnet.{module}", fromlist=[name]), name)


def test_generated_files_are_up_to_date(generated):
    stale = [path for path, content in generated.items() if (DOCS / path).read_text() != content]
    assert not stale, "run `python docs/generate`"
    assert {path.name for path in (DOCS / "zoo").iterdir()} == {f"{name}.svg" for name in FAMILY_NAMES}


def test_the_zoo_has_every_row_with_its_exact_size():
    rows = {row[0]: row for row in table_rows((DOCS / "zoo.md").read_text())}
    for name in (row.name for family in FAMILIES for row in family.family.rows):
        info = model_info(name)
        assert rows[f"`{info.name}`"][1] == f"{info.params:,}"
        printed = rows[f"`{info.name}`"][2]
        assert info.reported["params"] in printed if "params" in info.reported else printed == ""


def test_the_zoo_counts_what_the_sources_print():
    """In a sentence and in a column: 161 networks, 62 + 16 with a printed size, 37 with an accuracy, 46 with no number."""
    page = (DOCS / "zoo.md").read_text()
    rows = {row[0].strip("`"): row for row in table_rows(page)}
    infos = [model_info(name) for name in list_models()]
    infos = [info for info in infos if info.family in FAMILY_NAMES]
    kinds = Counter(rows[info.name][3] for info in infos)
    assert kinds == {
        "size": 46,
        "size, second reading": 16,
        "another size": 16,
        "accuracy": 37,
        "layout": 42,
        "family": 2,
        "ours": 2,
    }
    sentence = " ".join(page.partition("<!-- zoo")[2].partition("\n\n")[2].partition("\n\n")[0].split())
    assert [int(number) for number in re.findall(r"\d+", sentence)] == [161, 62, 16, 16, 37, 42, 2, 2]
    nothing = [info for info in infos if not any(p.size or p.figure for p in info.published)]
    assert len(nothing) == 46 and len(infos) == 161 and len({info.family for info in infos}) == 20
    assert all(rows[info.name][3] in ("layout", "family", "ours") for info in nothing)
    readme, others = ((ROOT / path).read_text() for path in ("README.md", "docs/alternatives.md"))
    assert (
        "161 networks. For 78 of them the publication prints a size, and our size agrees with 62 of these. "
        "16 of the 62 agree only if" in " ".join(readme.split())
    )
    assert "161 networks of 20 families" in others


@pytest.mark.parametrize(
    "name", ["lm_resnet20", "leapfrog38", "polynet_2way", "poly_mgnet_conv", "tnrd5_5x5", "resnet20"]
)
def test_the_zoo_knows_the_scheme_of_a_network(name, inline):
    page, model = (DOCS / "zoo.md").read_text(), create_model(name)
    assert [inline(model.method.step), model.method.name] in [
        row[:2] for row in table_rows(section(page, model_info(name).family))
    ]


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_a_diagram_says_what_it_shows_and_stays_in_its_frame(name):
    picture = ElementTree.fromstring((DOCS / "zoo" / f"{name}.svg").read_text())
    assert picture.get("role") == "img" and picture.find(f"{SVG}title").text.startswith(name)
    assert "iteration" in picture.find(f"{SVG}desc").text
    left, top, width, height = map(float, picture.get("viewBox").split())
    places = [(node.get("cx") or node.get("x"), node.get("cy") or node.get("y")) for node in picture.iter()]
    for x, y in places:
        if x is not None:
            assert left <= float(x) <= left + width and top <= float(y) <= top + height
    arrows = [path.get("d") for path in picture.iter(f"{SVG}path") if path.get("marker-end")]
    assert len(arrows) == len(set(arrows)) >= 3
    assert not {node.tag for node in picture.iter()} & {f"{SVG}script", f"{SVG}image", f"{SVG}use"}


def test_diagrams_can_be_read_in_light_and_in_dark():
    style = ElementTree.fromstring((DOCS / "zoo" / "MgNet.svg").read_text()).find(f"{SVG}style").text
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for scheme in (light, dark):
        colour = dict(re.findall(r"\.([\w-]+) \{ (?:fill|stroke): (#\w{6})", scheme))
        for text in ("ink", "quiet"):
            assert contrast(colour[text], colour["level"]) >= 4.5
        for line in ("kept", "map", "link"):
            assert contrast(colour[line], colour["level"]) >= 3 and contrast(colour[line], colour["page"]) >= 3


def contrast(one, other):
    """The ratio of WCAG 2."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_the_picture_of_the_house_has_every_folder_and_its_arrows_lead_down():
    picture = ElementTree.fromstring((DOCS / "images" / "architecture.svg").read_text())
    texts = " ".join(node.text for node in picture.iter(f"{SVG}text"))
    folders = [
        path.parent for folder in ("", "training") for path in (ROOT / "keras_mgnet" / folder).glob("*/__init__.py")
    ]
    assert (
        len(folders) > 14 and [folder.name for folder in folders if folder.name not in re.findall(r"\w+", texts)] == []
    )
    arrows = [re.findall(r"[-\d.]+", path.get("d")) for path in picture.iter(f"{SVG}path") if path.get("marker-end")]
    assert len(arrows) > 14 and all(float(start) < float(end) for _, start, _, end in arrows)


def test_imports_that_follow_from_others_are_left_out(monkeypatch):
    pytest.importorskip("grimp")
    monkeypatch.syspath_prepend(DOCS / "generate")
    reduced = runpy.run_path(str(DOCS / "generate" / "architecture.py"))["reduced"]
    assert reduced({"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}) == {
        "a": {"b"},
        "b": {"c"},
        "c": {"d"},
        "d": set(),
    }


def test_a_page_without_its_names_or_pictures_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    missing = runpy.run_path(str(DOCS / "build.py"))["missing"]
    pages, site = tmp_path / "docs", tmp_path / "site"
    for folder in (pages, site / "export", site / "images"):
        folder.mkdir(parents=True)
    (pages / "export.md").write_text("::: package.verify\n\n::: package.steps\n\n![](images/states.png)\n")
    shown = '<h2 id="package.verify"></h2><h2 id="package.steps.euler"></h2><img alt="" src="../images/states.png">'
    (site / "export" / "index.html").write_text(shown)
    assert list(missing(pages, site)) == ["../images/states.png on export"]
    shutil.copy(DOCS / "images" / "states.png", site / "images")
    assert list(missing(pages, site)) == []
    (site / "export" / "index.html").write_text('<h2 id="package.verified"></h2>')
    assert list(missing(pages, site)) == ["package.verify on export", "package.steps on export"]


EQUATIONS = {  # the plain text of the code, and what the pages have
    "u <- u + s B(f - A u), 0 < s < 1": r"$u \leftarrow u + s B(f - A u)$, $0 < s < 1$",
    "A u = f on every grid, by u' = omega B(f - A u)": r"$A u = f$ on every grid, by $u' = \omega B(f - A u)$",
    "x_i' = sum_j K_ij(x_j), K_ij fixed in time": r"$x_i' = \sum_j K_{ij}(x_j)$, $K_{ij}$ fixed in time",
    "dx = 12^(-1/2) f dW, eta_n ~ Bernoulli(p_n)": r"$dx = 12^{-1/2} f\, dW$, $\eta_n \sim \text{Bernoulli}(p_n)$",
    "x_{n+1} = x_n + F(x_n) + ...": r"$x_{n+1} = x_n + F(x_n) + \cdots$",
    "x_{n+1} = f([x_0, ..., x_n])": r"$x_{n+1} = f([x_0, \ldots, x_n])$",
    "dx = p f dt + dt (1 - p) dW": r"$dx = p f\, dt + dt (1 - p)\, dW$",
    "a recursion with full memory": "a recursion with full memory",
}


@pytest.mark.parametrize("text", EQUATIONS)
def test_equations_in_plain_text_become_tex(text, inline):
    assert inline(text) == EQUATIONS[text]


@pytest.mark.parametrize("text", ["tanh(x) = y", "A u = Laplace(u)"])
def test_a_word_within_an_equation_is_refused(text, inline):
    with pytest.raises(ValueError, match=r"expected letters and words of .* Received: (tanh|Laplace) in"):
        inline(text)


@pytest.mark.parametrize("tex", ["x_", r"\Laplace u"])
def test_tex_that_cannot_be_typeset_is_refused(tex):
    typeset = runpy.run_path(str(DOCS / "mathematics.py"))["typeset"]
    with pytest.raises(ValueError, match=r"expected .* Received: "):
        typeset(f'<span class="arithmatex">\\({tex}\\)</span>')


def test_the_search_index_has_letters():
    readable = runpy.run_path(str(DOCS / "mathematics.py"))["readable"]
    assert readable(r"by \(u \leftarrow u + B(f - A u)\) for \[x &lt; 1\].") == "by u←u+B(f−Au) for x&lt;1."


def test_every_equation_of_the_pages_can_be_typeset():
    typeset, count = runpy.run_path(str(DOCS / "mathematics.py"))["typeset"], 0
    for page in [*DOCS.glob("*.md"), *DOCS.glob("notebooks/*.md")]:
        text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
        blocks, rest = re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL), re.sub(r"(?s)\$\$.+?\$\$", "", text)
        found = [(tex, f'<div class="arithmatex">\\[{escape(tex)}\\]</div>') for tex in blocks]
        found += [(x, f'<span class="arithmatex">\\({escape(x)}\\)</span>') for x in re.findall(r"\$(.+?)\$", rest)]
        for tex, marked in found:
            assert ElementTree.fromstring(typeset(marked)).tag == MATHML + "math", tex
        count += len(found)
    assert count > 200


def test_equations_are_shown_without_scripts():
    settings = (ROOT / "mkdocs.yml").read_text()
    assert "pymdownx.arithmatex: {generic: true}" in settings and "extra_javascript" not in settings


def test_every_equation_stands_beside_its_code(inline):
    page = (DOCS / "equations.md").read_text()
    assert [step for step in STEPS if f"| {inline(step)} |" not in page] == []
    functions = [f for _, f in inspect.getmembers(steps, inspect.isfunction) if f.__module__ == steps.__name__]
    assert [f.__name__ for f in functions if inspect.getsource(f).strip() not in page] == []
    source = inspect.getsource(steps)
    he2019, lu2018 = (set(re.findall(pattern, source)) for pattern in (r"\(([2-6]\.\d)\)", r"Lu2018 \((\d)\)"))
    counts = f"{len(functions)} pure functions", f"cite {len(he2019)} numbered", f"and {len(lu2018)} of Lu2018"
    assert all(count in " ".join(page.split()) for count in counts), counts


def test_an_iteration_for_A_u_equals_f_has_a_factor_and_no_order():
    methods = {method for cls in CLASSES for method in vars(cls).values() if isinstance(method, Method)}
    for method in methods:
        assert (method.order == "none, it has a convergence factor") == method.equation.startswith("A"), method


@pytest.mark.parametrize("row", table_rows((DOCS / "reference" / "symbols.md").read_text()), ids=lambda row: row[0])
def test_a_symbol_is_what_the_code_calls_it(row):
    _, code, where, _ = row
    for path in re.findall(r"`(.*?)`", where):
        thing = resolve(path)
        known = {*inspect.signature(thing).parameters, *dir(thing)}
        for name in re.findall(r"`(.*?)`", code):
            assert name in known


@pytest.mark.parametrize("page", ["export", "serving", "training"])
def test_names_of_a_reference_page_exist(page):
    paths = re.findall(r"^::: keras_mgnet\.(\S+)$", (DOCS / "reference" / f"{page}.md").read_text(), flags=re.MULTILINE)
    assert paths and all(map(resolve, paths))
    if page == "export":
        assert sorted(path.rpartition(".")[2] for path in paths) == sorted(export.__all__)


def test_every_figure_of_the_results_is_in_its_record():
    results = section((ROOT / "README.md").read_text(), "Results")
    sentences = [text for text in results.split("\n\n") if re.search(r"\d\.\d", text) and "|" not in text]
    claims = [" ".join(row) for row in table_rows(results)] + sentences
    assert len(claims) >= 5
    for claim in claims:
        (place,) = re.findall(r"\]\((\S+?README\.md)\)", claim)
        record = (ROOT / place).read_text()
        assert re.search(r"^(keras-mgnet|python -m keras_mgnet\S*) \w+", record, flags=re.MULTILINE), place
        for figure in re.findall(r"\d[\d,]*\.\d+|\d+,\d{3}", claim):
            assert figure in record, (place, figure)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\((?!http)([^)#]+)", (ROOT / page).read_text())
    assert targets and [target for target in targets if not (ROOT / target).exists()] == []


def test_what_contributing_names_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = [path for path in re.findall(r"`([\w./-]+)`", text) if "/" in path or path.endswith((".py", ".md", ".yml"))]
    made = {"build/docs", "export/to_FORMAT.py"}
    assert len(paths) > 30 and [path for path in paths if path not in made and not (ROOT / path).exists()] == []
    for name, path in re.findall(r"`([A-Z_]+)` (?:in|of) `([\w./]+\.py)`", text):
        assert re.search(rf"^{name}\b.* = ", (ROOT / path).read_text(), flags=re.MULTILINE), (name, path)


def test_the_citation_has_the_version_of_the_package():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == keras_mgnet.__version__


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE))
    pages = {str(path.relative_to(DOCS)) for folder in (DOCS, DOCS / "notebooks") for path in folder.rglob("*.md")}
    assert {page for page in pages if page.count("/") < 2 or page.endswith("README.md")} == listed


CLAIMS = (DOCS / "records" / "claims" / "README.md").read_text()
CLAIMED = ("README.md", "docs/index.md", "docs/zoo.md", "docs/equations.md", "docs/multigrid.md")


@pytest.mark.parametrize("page", CLAIMED)
def test_each_claim_of_a_page_names_tests_or_records_that_exist(page):
    rows = table_rows(section(CLAIMS, page))
    assert len(rows) >= 5
    for claim, evidence in rows:
        tests = re.findall(r"`([\w/]+\.py)::(\w+)`", evidence)
        records = re.findall(r"\]\((\S+)\)", evidence)
        assert tests or records, claim
        for file, name in tests:
            assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), flags=re.MULTILINE), name
        assert all((DOCS / "records" / "claims" / record).is_file() for record in records), claim


@pytest.mark.parametrize("page", CLAIMED)
def test_each_figure_of_a_page_is_among_its_claims(page):
    """Numbers with a decimal point or a comma in what is written by hand; and the numbers of the claims are on the page."""
    figure, claims = r"\d[\d,]*\.\d+|\d+,\d{3}", section(CLAIMS, page)
    names = r"Apache-2\.0|arXiv \S+|Python 3\.\d+|https?:\S+|`[^`]*`"
    text = re.sub(r"<!-- \w+: written.*?<!-- end -->", "", without_fences(page), flags=re.DOTALL)
    assert set(re.findall(figure, re.sub(names, "", text))) <= set(re.findall(figure, claims))
    claimed = " ".join(claim for claim, _ in table_rows(claims))
    assert [number for number in re.findall(figure, claimed) if number not in (ROOT / page).read_text()] == []


def test_each_promise_about_security_names_tests_that_exist():
    tables = re.findall(
        r"^\| promise.*\| test \|\n((?:\|.*\n)+)", (ROOT / "SECURITY.md").read_text(), flags=re.MULTILINE
    )
    rows = [row.strip("|").split("|") for table in tables for row in table.splitlines()[1:]]
    assert len(tables) == 4 and len(rows) > 20
    for promise, tests in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        assert named or "the same" in tests, promise
        for file, name in named:
            assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), flags=re.MULTILINE), name
