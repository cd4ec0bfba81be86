"""Atom XML, which the service answers to whoever does not ask for application/json."""
from xml.sax.saxutils import escape, quoteattr

from . import clock

_HEAD = ('xmlns="http://www.w3.org/2005/Atom" xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices" '
         'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"')
_LEGAL = {c: None for c in range(32) if c not in (9, 10, 13)}


def _property(name, edm, value):
    kind = "" if edm == "String" else f' m:type="Edm.{edm}"'
    if value is None:
        return f'<d:{name}{kind} m:null="true" />'
    if edm == "DateTime":
        value = clock.iso_of(clock.wall_from_text(value))
    elif edm == "Boolean":
        value = "true" if value else "false"
    return f"<d:{name}{kind}>{escape(str(value).translate(_LEGAL))}</d:{name}>"


def entry(resource, select, row, uri, outermost=False):
    """One entity as an Atom entry."""
    fields = "".join(_property(name, resource.types[name], row[name]) for name in select
                     if name not in resource.collections)
    return (f'<entry{" " + _HEAD if outermost else ""}><id>{escape(uri)}</id><title /><category '
            f'term={quoteattr(resource.type_name)} '
            f'scheme="http://schemas.microsoft.com/ado/2007/08/dataservices/scheme" /><content type="application/xml">'
            f"<m:properties>{fields}</m:properties></content></entry>")


def feed(title, uri, entries, following):
    """A page of entities as an Atom feed."""
    link = f'<link rel="next" href={quoteattr(following)} />' if following else ""
    head = f'<feed {_HEAD}><title type="text">{escape(title)}</title><id>{escape(uri)}</id>'
    return f'{head}{"".join(entries)}{link}</feed>'


def error(text):
    """An error body."""
    return (f'<error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><code></code>'
            f'<message xml:lang="">{escape(text.translate(_LEGAL))}</message></error>')
