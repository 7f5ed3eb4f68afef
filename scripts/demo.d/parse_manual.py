"""Cuts the PostgreSQL manual (a folder of HTML pages) into passages.

usage: parse_manual.py HTML_FOLDER OUTPUT

OUTPUT is in the text format of COPY, pages by name and each in reading order:
  id       1, 2, 3 ...
  part, chapter, page, section, kind   where the passage stands and what it is
  title    the headings above it and the term it defines: for the vectors
  body     its text, white space collapsed except in listings
Kinds: paragraph, list item, definition, note, table row, listing.

Needs nothing but Python itself.
"""

import os
import re
import sys
from html.parser import HTMLParser

SKIPPED_DIVS = {"navheader", "navfooter", "toc", "list-of-tables", "list-of-figures", "list-of-examples"}
SKIPPED_PAGES = {"bookindex.html"}
SECTION_DIVS = re.compile(
    r"^(sect[1-5]|refsect[1-3]|refsynopsisdiv|refnamediv|refentry|simplesect|section"
    r"|chapter|appendix|preface|part|book|reference|glossary|bibliography)$")
NOTE_DIVS = {"note", "tip", "important", "warning", "caution"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BLOCKS = HEADINGS | {"p", "pre", "li", "dd", "dt", "table", "ul", "ol", "dl", "div"}
VOID = {"br", "hr", "img", "link", "meta", "col", "input"}
NUMBER = re.compile(r"^((Part|Chapter|Appendix)\s+)?([A-Z]|[IVXLC]+|[0-9]+)(\.[0-9]+)*\.\s+")
COMMIT_LINKS = re.compile(r"(\s*§)+$")  # in the release notes
MIN_LETTERS = 40  # shorter ones ("For example:") say nothing by themselves


def collapse(text):
    return " ".join(text.split())


def unnumbered(title):
    return NUMBER.sub("", collapse(title))


class Page(HTMLParser):
    """One page: its title, its parent's name and its passages as (headings, terms defined, kind, text)."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.parent = None
        self.passages = []
        self.stack = []  # open elements: (tag, class)
        self.headings = []  # (depth of the section's element, title)
        self.terms = []  # (depth of the definition list, term)
        self.new_term = False  # has the last term no definition yet?
        self.skip = None  # depth of the element whose contents are left out
        self.text = []  # of the block that is open
        self.cells = None  # of the table row that is open

    def inside(self, *tags):
        return any(tag in tags for tag, _ in self.stack)

    def kind(self):
        """What the text that has just ended is, by the innermost element that says so."""
        for tag, name in reversed(self.stack):
            if tag == "pre":
                return "listing"
            if name in NOTE_DIVS:
                return "note"
            if tag == "li":
                return "list item"
            if tag == "dd":
                return "definition"
        return "paragraph"

    def section(self):
        """Depth of the section whose heading is open; None for the heading of a note."""
        for depth in range(len(self.stack) - 1, -1, -1):
            name = self.stack[depth][1]
            if name in NOTE_DIVS:
                return None
            if SECTION_DIVS.match(name):
                return depth
        return None

    def end_block(self):
        """Turns the text at hand into a passage; inside a table it stays part of its row."""
        if self.cells is not None:
            return
        raw = "".join(self.text)
        self.text = []
        kind = self.kind()
        body = raw.strip("\n").rstrip() if kind == "listing" else collapse(raw)
        if not body.strip():
            return
        if self.new_term and self.terms and self.inside("dd"):
            body = self.terms[-1][1] + ": " + body
            self.new_term = False
        self.add(kind, body)

    def add(self, kind, body):
        body = COMMIT_LINKS.sub("", body)
        if sum(c.isalpha() for c in body) >= MIN_LETTERS:
            headings = [title for _, title in self.headings]
            self.passages.append((headings, [term for _, term in self.terms], kind, body))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "a" and attrs.get("accesskey") == "u":
            self.parent = attrs.get("href", "").split("#")[0]
        if tag in VOID:
            if tag == "br":
                self.text.append("\n" if self.inside("pre") else " ")
            return
        name = (attrs.get("class") or "").split(" ")[0]
        if self.skip is None:
            if tag in BLOCKS:
                self.end_block()
            if tag == "title" or (tag == "div" and name in SKIPPED_DIVS):
                self.skip = len(self.stack)
            elif tag == "tr":
                self.text = []
                self.cells = []
            elif self.cells is not None and tag == "p":
                self.text.append(" ")
        self.stack.append((tag, name))

    def handle_endtag(self, tag):
        if tag in VOID or not self.inside(tag):
            return
        while True:
            top = self.stack[-1][0]
            self.close_element(top)
            self.stack.pop()
            if top == tag:
                return

    def close_element(self, tag):
        """Takes what the innermost element has gathered; it is still on the stack."""
        depth = len(self.stack) - 1
        if self.skip is not None:
            if self.skip == depth:
                self.skip = None
                self.text = []
            return
        if tag in HEADINGS:
            self.end_heading()
        elif tag in ("td", "th") and self.cells is not None:
            if tag == "td":
                self.cells.append(collapse("".join(self.text)))
            self.text = []
        elif tag == "tr" and self.cells is not None:
            row = " | ".join(cell for cell in self.cells if cell)
            self.cells = None
            self.text = []
            self.add("table row", row)
        elif tag == "dt" and self.cells is None:
            owner = max(d for d, (t, _) in enumerate(self.stack) if t in ("dl", "html"))
            self.terms = [t for t in self.terms if t[0] < owner] + [(owner, collapse("".join(self.text)))]
            self.new_term = True
            self.text = []
        elif tag == "p" and self.stack[-1][1] == "title":
            self.text = []  # the caption of a table or an example
        elif tag in BLOCKS:
            self.end_block()
        if tag == "div":
            self.headings = [h for h in self.headings if h[0] < depth]
        elif tag == "dl":
            self.terms = [t for t in self.terms if t[0] < depth]

    def end_heading(self):
        title = unnumbered("".join(self.text))
        self.text = []
        owner = self.section()
        if title and owner is not None:
            self.headings = [h for h in self.headings if h[0] < owner] + [(owner, title)]

    def handle_data(self, data):
        if self.stack and self.stack[-1][0] == "title":
            self.title += data
        elif self.skip is None and self.inside("body"):
            self.text.append(data)


def read_page(path):
    page = Page()
    with open(path, encoding="utf-8") as f:
        page.feed(f.read())
    page.close()
    return page


def place(pages, name):
    """Part and chapter of a page: the titles up the chain of parents."""
    part, chapter = "", ""
    seen = set()
    while name in pages and name not in seen:
        seen.add(name)
        title = collapse(pages[name].title)
        if title.startswith("Part "):
            part = unnumbered(title)
            break
        if name != "index.html":
            chapter = unnumbered(title)
        name = pages[name].parent
    return part or "Front matter", chapter or "PostgreSQL"


def copy_field(value):
    """A value in the text format of COPY."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def main():
    folder, output = sys.argv[1:3]
    names = sorted(n for n in os.listdir(folder) if n.endswith(".html") and n not in SKIPPED_PAGES)
    pages = {n: read_page(os.path.join(folder, n)) for n in names}
    count = 0
    with open(output, "w", encoding="utf-8") as out:
        for name in names:
            part, chapter = place(pages, name)
            own = unnumbered(pages[name].title)
            for headings, terms, kind, body in pages[name].passages:
                count += 1
                titles = [own] + [h for h in headings if h != own]
                fields = [str(count), part, chapter, name, titles[-1], kind, " / ".join(titles + terms), body]
                out.write("\t".join(map(copy_field, fields)) + "\n")
    print(f"{count:,} passages from {len(names):,} pages")


if __name__ == "__main__":
    main()
