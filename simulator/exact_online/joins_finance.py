"""Fields of the finance entities that the service fills from other records or code tables when it reads them."""
from .catalogue import ACCOUNT, COSTCENTER, COSTUNIT, FINANCE, GL, ITEM, RESOURCES
from .words import ALL_VAT, JOURNALS, PAYMENT, UNITS

STATUS = {10: "Concept", 20: "Open", 50: "Verwerkt"}
TYPES = {20: "Verkoopboeking", 21: "Verkoop: creditnota", 30: "Inkoopboeking", 31: "Inkoop: creditnota",
         40: "Kas-/bankboeking",
         90: "Overige", 8020: "Verkoopfactuur", 8021: "Verkoopcreditnota", 8030: "Inkoopfactuur",
         8031: "Inkoopcreditnota"}


def _record(entity, field):
    """A field of the record whose key stands in another field."""
    def find(key):
        def join(division, v):
            record = division.records[entity].get(v.get(key)) if v.get(key) else None
            return record.values.get(field) if record else None
        return join
    return find


def _code(entity):
    """The description of the record whose code stands in another field."""
    def find(key):
        def join(division, v):
            record = division.by_code(entity, v[key]) if v.get(key) else None
            return record.values.get("Description") if record else None
        return join
    return find


def _table(table, place=None):
    """A text of a code table."""
    def find(key):
        def join(division, v):
            code = v.get(key)
            found = table.get(code.strip() if isinstance(code, str) else code)
            return found if found is None or place is None else found[place]
        return join
    return find


def _company(name, place=None):
    """A text of a table that each company has for itself."""
    def find(key):
        def join(division, v):
            found = division.info[name].get(v.get(key))
            return found if found is None or place is None else found[place]
        return join
    return find


TEXTS = {   # joined field: (how, the fields that may hold its key)
    "AccountCode": (_record(ACCOUNT, "Code"), "Account"), "AccountName": (_record(ACCOUNT, "Name"), "Account"),
    "SupplierName": (_record(ACCOUNT, "Name"), "Supplier"), "CustomerName": (_record(ACCOUNT, "Name"), "Customer"),
    "OrderedByName": (_record(ACCOUNT, "Name"), "OrderedBy"), "InvoiceToName": (_record(ACCOUNT, "Name"), "InvoiceTo"),
    "DeliverToName": (_record(ACCOUNT, "Name"), "DeliverTo"),
    "GLAccountCode": (_record(GL, "Code"), "GLAccount"),
    "GLAccountDescription": (_record(GL, "Description"), "GLAccount"),
    "ItemCode": (_record(ITEM, "Code"), "Item"), "ItemDescription": (_record(ITEM, "Description"), "Item"),
    "CostCenterDescription": (_code(COSTCENTER), "CostCenter"), "CostUnitDescription": (_code(COSTUNIT), "CostUnit"),
    "JournalDescription": (_table(JOURNALS, 0), "Journal", "JournalCode"),
    "VATCodeDescription": (_table(ALL_VAT, 0), "VATCode"),
    "UnitDescription": (_table(UNITS, 0), "UnitCode"), "PaymentConditionDescription": (_table(PAYMENT),
                                                                                       "PaymentCondition"),
    "StatusDescription": (_table(STATUS), "Status"), "TypeDescription": (_table(TYPES), "Type"),
    "CreatorFullName": (_company("names"), "Creator"), "ModifierFullName": (_company("names"), "Modifier"),
    "SalespersonFullName": (_company("names"), "Salesperson"),
    "ProjectCode": (_company("projects", 0), "Project"), "ProjectDescription": (_company("projects", 1), "Project"),
}


def _join_of(entity):
    """The function that fills all joined fields of an entity."""
    types = RESOURCES[entity].types
    found = []
    for name, (how, *keys) in TEXTS.items():
        key = next((k for k in keys if k in types), None)
        if name in types and key:
            found.append((name, how(key)))

    def join(division, record):
        v = record.values
        return {name: text(division, v) for name, text in found}
    return join


JOINS = {entity: _join_of(entity) for entity in FINANCE}
