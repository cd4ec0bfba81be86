"""$metadata of a service: the EDMX document with the types, keys and navigation properties of its entities."""
from xml.sax.saxutils import quoteattr

from .catalogue import RESOURCES, SCALARS, singular

_EDMX = "http://schemas.microsoft.com/ado/2007/06/edmx"
_META = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"
_EDM = "http://schemas.microsoft.com/ado/2006/04/edm"
NAMESPACE = "Exact.Web.Api.Models"


def document(service, serves):
    """The document of a service (its part of the path, in any case), or None when nothing of it is served."""
    mine = {}
    for path, resource in RESOURCES.items():
        where, _, name = path.rpartition("/")
        if where.lower() == service.lower() and resource.kind != "action" and serves(resource):
            mine[name] = resource
    if not mine:
        return None
    types, sets, links = [], [], []
    for name, resource in mine.items():
        children = {collection: child.rpartition("/")[2] for collection, child in resource.children.items()}
        children.update((collection, collection) for collection in resource.collections if collection in mine)
        navigation = ""
        for collection, child in children.items():
            if child in mine:
                link = f"{singular(name)}_{collection}"
                links.append((link, singular(name), singular(child), name, child))
                navigation += (f'<NavigationProperty Name="{collection}" Relationship="{NAMESPACE}.{link}" '
                               f'FromRole="{singular(name)}_from" '
                               f'ToRole="{singular(child)}_to"/>')
        keys = "".join(f'<PropertyRef Name="{key}"/>' for key in resource.keys)
        fields = "".join(f'<Property Name="{field}" Type="Edm.{edm}" '
                         f'Nullable="{"false" if field in resource.keys else "true"}"/>'
                         for field, edm in resource.types.items() if edm in SCALARS)
        types.append(f'<EntityType Name={quoteattr(singular(name))}><Key>{keys}</Key>{fields}{navigation}</EntityType>')
        sets.append(f'<EntitySet Name={quoteattr(name)} EntityType="{NAMESPACE}.{singular(name)}"/>')
    for link, parent, child, parents, children in links:
        types.append(f'<Association Name="{link}"><End Type="{NAMESPACE}.{parent}" Multiplicity="1" '
                     f'Role="{parent}_from"/>'
                     f'<End Type="{NAMESPACE}.{child}" Multiplicity="*" Role="{child}_to"/></Association>')
        sets.append(f'<AssociationSet Name="{link}" Association="{NAMESPACE}.{link}"><End Role="{parent}_from" '
                    f'EntitySet="{parents}"/>'
                    f'<End Role="{child}_to" EntitySet="{children}"/></AssociationSet>')
    return (f'<?xml version="1.0" encoding="utf-8" standalone="yes"?><edmx:Edmx Version="1.0" xmlns:edmx="{_EDMX}">'
            f'<edmx:DataServices '
            f'm:DataServiceVersion="1.0" xmlns:m="{_META}"><Schema Namespace="{NAMESPACE}" xmlns="{_EDM}">'
            f'{"".join(types)}'
            f'<EntityContainer Name="Entities" m:IsDefaultEntityContainer="true">{"".join(sets)}</EntityContainer></'
            f'Schema>'
            "</edmx:DataServices></edmx:Edmx>")
