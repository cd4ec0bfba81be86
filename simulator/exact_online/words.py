"""Words of a trading company: names, products, the chart of accounts, code tables."""

COMPANIES = (  # description, country, city, postcode, street, VAT number, legislation
    ("Noordzee Techniek B.V.", "NL", "Den Helder", "1781 AB", "Havenkade 14", "NL812345678B01"),
    ("Van den Broeck Groothandel N.V.", "BE", "Mechelen", "2800", "Brusselsesteenweg 210", "BE0456789123"),
    ("Rheinland Komponenten GmbH", "DE", "Duisburg", "47051", "Königstraße 62", "DE287654321"),
    ("Zuid-Limburg Verpakkingen B.V.", "NL", "Sittard", "6131 KX", "Industriestraat 7", "NL856781234B02"),
    ("Ateliers de la Meuse S.A.", "BE", "Liège", "4000", "Quai de Coronmeuse 33", "BE0789456123"),
    ("Hanse Werkzeug & Söhne KG", "DE", "Bremen", "28195", "Langenstraße 101", "DE311223344"),
    ("Oosterhof Agro & Food B.V.", "NL", "Zwolle", "8011 PZ", "Melkmarkt 39", "NL809876543B01"),
)
CITIES = {
    "NL": (("Amsterdam", "1012 JS"), ("Rotterdam", "3011 AD"), ("Utrecht", "3511 LX"), ("'s-Hertogenbosch", "5211 JX"),
           ("Groningen", "9711 LM"), ("Eindhoven", "5611 EM"), ("Tilburg", "5038 EA"), ("IJmuiden", "1975 GG")),
    "BE": (("Antwerpen", "2000"), ("Gent", "9000"), ("Brugge", "8000"), ("Liège", "4000"), ("Namur", "5000"),
           ("Kortrijk", "8500")),
    "DE": (("Köln", "50667"), ("Düsseldorf", "40213"), ("Münster", "48143"), ("Nürnberg", "90402"),
           ("Lübeck", "23552")),
    "FR": (("Lille", "59000"), ("Besançon", "25000")),
    "PL": (("Łódź", "90-001"), ("Gdańsk", "80-001")),
    "US": (("Springfield, IL", "62701"),),
}
COUNTRY_NAMES = {"NL": "Nederland", "BE": "België", "DE": "Duitsland", "FR": "Frankrijk", "PL": "Polen",
                 "US": "Verenigde Staten"}
LANGUAGES = {"NL": "Nederlands", "DE": "Duits", "FR": "Frans", "EN": "Engels", "NL-BE": "Nederlands (België)"}
STREETS = ("Keizersgracht", "Stationsplein", "Industrieweg", "Hoofdstraat", "Rue de l'Église", "Hafenstraße",
           "Kerkstraat",
           "Parallelweg", "Bahnhofstraße", "Nijverheidslaan", "Ambachtsweg", "Chaussée de Wavre")
FIRST = ("Jansen", "De Vries", "Peeters", "Van der Meer", "Müller", "Schröder", "Dubois", "O'Neill", "Bakker", "Claes",
         "Hendriks",
         "Łukasiewicz", "Koç", "Willemsen", "Maes", "Böhm", "Verhoeven", "Lefèvre", "Ångström", "D'Hondt", "Kowalski",
         "Smit")
TRADES = ("Metaalbewerking", "Elektrotechniek", "Logistiek", "Kunststoffen", "Verpakkingen", "Werkzeugbau", "Transport",
          "Bouwmaterialen",
          "Installatietechniek", "Schroefcentrale", "Papier & Karton", "Hydrauliek", "IT-Services", "Reinigung",
          "Lackfabrik")
FORMS = {"NL": ("B.V.", "V.O.F.", "N.V."), "BE": ("N.V.", "BV", "S.A."), "DE": ("GmbH", "GmbH & Co. KG", "AG"),
         "FR": ("S.A.R.L.",), "PL": ("Sp. z o.o.",), "US": ("Inc.",)}
GOODS = ("Zeskantbout", "Moer", "Sluitring", "Inbusschroef", "Kogellager", "V-snaar", "O-ring", "Hydrauliekslang",
         "Cilinder",
         "Persluchtkoppeling",
         "Kabelgoot", "Schakelaar", "Relais", "Sensor", "Stekker", "Werkhandschoen", "Veiligheidsbril", "Vouwdoos",
         "Palletfolie",
         "Stretchfilm",
         "Etiket", "Smeervet", "Ontvetter", "Zaagblad", "Boor HSS", "Slijpschijf", "Draadstang", "Klemring",
         "Lagerblok", "Tandwiel",
    "Montage", "Advies")
SIZES = ("M4", "M5", "M6x20", "M8x40", "M10", "M12x60", "Ø12 mm", "Ø25 mm", "1/2\"", "3/4\"", "24 V", "230 V", "IP67",
         "maat L",
         "400x300x200", "500 m", "5 l", "0,75 kW", "RVS A2", "verzinkt")
GROUPS = (("BEV", "Bevestigingsmiddelen"), ("AAN", "Aandrijftechniek"), ("HYD", "Hydrauliek"), ("ELE", "Elektra"),
          ("VPM", "Verpakking"),
          ("PBM", "Persoonlijke bescherming"), ("GER", "Gereedschap"))
UNITS = {"pc": ("Stuk", "O"), "box": ("Doos", "O"), "m": ("Meter", "L"), "kg": ("Kilogram", "W"), "l": ("Liter", "V"),
         "hour": ("Uur", "T"),
         "day": ("Dag", "T"), "pallet": ("Pallet", "O")}
VAT = {"0": ("BTW 0%", 0.0), "1": ("BTW laag, exclusief", 0.09), "2": ("BTW hoog, exclusief", 0.21),
       "3": ("BTW hoog, inclusief", 0.21),
       "5": ("Intracommunautaire verwerving", 0.0), "VB": ("Verlegd binnenland", 0.0), "VR": ("Verlegd, met BTW", 0.21),
       "MA": ("Margeregeling", 0.21)}
# used by generated documents only: what the initial data draws from stays as it is
VAT_MORE = {"KO": ("Kleineondernemersregeling", 0.0), "D1": ("OSS Duitsland 19%", 0.19),
            "F2": ("OSS Frankrijk 20%", 0.2), "KS": ("Kasstelsel 21%", 0.21)}
ALL_VAT = {**VAT, **VAT_MORE}
# code: type (B base only, E excluding, I including), charged (shown and not owed to the supplier), margin scheme
VAT_RULES = {
    "0": ("B", False, False), "1": ("E", False, False), "2": ("E", False, False), "3": ("I", False, False),
    "5": ("E", True, False),
    "VB": ("B", True, False), "VR": ("E", True, False), "MA": ("I", False, True),
    "KO": ("N", False, False), "D1": ("E", False, False), "F2": ("E", False, False), "KS": ("E", False, False)}
PAYMENT = {"00": "Contant", "14": "Binnen 14 dagen", "30": "Binnen 30 dagen", "60": "60 dagen einde maand",
           "VK": "Vooruitbetaling"}
SHIPPING = (("DHL", "DHL Freight"), ("PNL", "PostNL pakket"), ("AFH", "Afhalen bij leverancier"))
WAREHOUSES = (("1", "Hoofdmagazijn"), ("2", "Buitenterrein"), ("CO", "Consignatie – klant"))
CURRENCIES = {"EUR": ("Euro", 1), "USD": ("Amerikaanse dollar", 0.9213), "GBP": ("Britse pond", 1.1687),
              "JPY": ("Japanse yen", 0.0061)}
PROJECTS = (("P-2401", "Nieuwbouw hal 3"), ("P-2407", "Onderhoud \"Zeeland\""), ("P-2502", "Uitrol scanners"))
JOURNALS = {  # code: description, GL account
    "01": ("Verkoopboek", "1300"), "20": ("Inkoopboek", "1600"), "70": ("Rabobank", "1100"), "75": ("Kas", "1000"),
    "90": ("Memoriaal", None)}
COSTCENTERS = ("Directie", "Verkoop binnenland", "Verkoop export", "Inkoop", "Magazijn Noord", "Magazijn Zuid",
               "Productie lijn 1",
               "Productie lijn 2", "Technische dienst", "ICT", "Personeelszaken", "Kwaliteit", "R&D", "Kantine",
               "Wagenpark",
               "Showroom Köln")
COSTUNITS = ("Order export", "Project Maas", "Beurs Hannover", "Webshop", "Servicecontracten", "Garantie", "Demo's",
             "Retouren",
             "Private label")
GL_TYPES = {12: "Bank", 10: "Kas", 20: "Debiteuren", 22: "Crediteuren", 24: "BTW", 26: "Vooruitbetaalde kosten",
            27: "Overlopende passiva",
            30: "Vaste activa", 32: "Overige activa", 35: "Cumulatieve afschrijvingen", 40: "Voorraad", 50: "Kapitaal",
            55: "Langlopende schulden",
            90: "Neutraal", 110: "Omzet", 111: "Kostprijs omzet", 120: "Overige kosten",
            121: "Verkoop-, algemene kosten",
            122: "Afschrijvingskosten",
            125: "Personeelskosten", 130: "Buitengewone lasten", 140: "Buitengewone baten", 160: "Rentebaten"}
CHART = (  # code, description, type, balance side, B = balance sheet or W = profit and loss
    ("0100", "Bedrijfsgebouwen", 30, "D", "B"), ("0150", "Afschrijving gebouwen", 35, "C", "B"),
    ("0200", "Machines en installaties", 30, "D", "B"),
    ("0250", "Afschrijving machines", 35, "C", "B"), ("0300", "Inventaris", 30, "D", "B"),
    ("0400", "Vervoermiddelen", 30, "D", "B"),
    ("0500", "Geplaatst kapitaal", 50, "C", "B"), ("0550", "Algemene reserve", 50, "C", "B"),
    ("0700", "Lening ING Bank", 55, "C", "B"),
    ("1000", "Kas", 10, "D", "B"), ("1100", "Rabobank rekening-courant", 12, "D", "B"),
    ("1110", "KBC Bank", 12, "D", "B"),
    ("1300", "Debiteuren", 20, "D", "B"), ("1400", "Vooruitbetaalde kosten", 26, "D", "B"),
    ("1500", "Te betalen BTW hoog", 24, "C", "B"),
    ("1520", "Te vorderen BTW", 24, "D", "B"), ("1600", "Crediteuren", 22, "C", "B"),
    ("1700", "Nog te betalen kosten", 27, "C", "B"),
    ("2000", "Kruisposten", 90, "D", "B"), ("3000", "Voorraad handelsgoederen", 40, "D", "B"),
    ("3100", "Onderhanden werk", 40, "D", "B"),
    ("3900", "Te ontvangen inkoopfacturen", 90, "C", "B"), ("4000", "Lonen en salarissen", 125, "D", "W"),
    ("4010", "Sociale lasten", 125, "D", "W"),
    ("4100", "Huisvestingskosten", 121, "D", "W"), ("4200", "Autokosten", 121, "D", "W"),
    ("4300", "Verkoopkosten", 121, "D", "W"),
    ("4400", "Kantoorkosten", 121, "D", "W"), ("4500", "Algemene kosten", 120, "D", "W"),
    ("4600", "Afschrijving machines", 122, "D", "W"),
    ("4700", "Rente en bankkosten", 160, "D", "W"), ("5000", "Verbruik hulpstoffen", 120, "D", "W"),
    ("7000", "Kostprijs omzet", 111, "D", "W"),
    ("7100", "Prijsverschillen inkoop", 111, "D", "W"), ("8000", "Omzet binnenland", 110, "C", "W"),
    ("8100", "Omzet EU", 110, "C", "W"),
    ("8200", "Omzet buiten EU", 110, "C", "W"), ("8900", "Betalingskortingen", 110, "D", "W"),
    ("9000", "Buitengewone baten", 140, "C", "W"),
    ("9100", "Buitengewone lasten", 130, "D", "W"),
)
SUBJECTS = ("reclame", "onderhoud", "brandstof", "verzekering", "huur", "energie", "telefoon", "porto", "abonnementen",
            "advies",
            "reis- en verblijf",
            "lease", "opleiding", "beurzen", "software", "schoonmaak", "kleine aanschaf", "vracht", "heffingen",
            "overig")
STAFF = ("Annelies de Wit", "Bram Peeters", "Çiğdem Yılmaz", "Dieter Großmann", "Integratie API")
ODD_TEXTS = (  # texts that break careless readers
    "Levering \"franco\" – 50% bij opdracht", "pad C:\\Temp\\export\\n.csv", "regel 1\r\nregel 2\r\n\r\nregel 4",
    "tab\there, quote ' and \\' and \"\"",
    "Façade Łódź 漢字 עברית 🚚📦", "<b>niet vet</b> &amp; {\"d\":[]}", "  spaties voor en achter  ",
    "e\u0301 (samengesteld) en \u2028 scheiding",
    "null", "%41+%2B", "'; DROP TABLE orders; --",
    "$$dollar$$ ${var} `backtick`", "0012", "1e5", "\u00a0vaste spatie", "👨‍👩‍👧 gezin",
    "Bitte beachten: Anlieferung nur werktags 7–15 Uhr. " * 60)
ITEM_WORDS = ("RVS", "zwart", "extra sterk", "bulk", "set", "navulling", "gelagerd", "type B")
PHRASES = {  # what the service says in the user's language: Dutch beginning, and the same in others
    "Gegeven bestaat reeds.": {"EN": "Data already exists.", "FR": "La donnée existe déjà.",
                               "DE": "Die Daten sind bereits vorhanden."},
    "Verplicht: ": {"EN": "Mandatory: ", "FR": "Obligatoire : ", "DE": "Pflichtfeld: "},
    "Ongeldig: ": {"EN": "Invalid: ", "FR": "Invalide : ", "DE": "Ungültig: "},
    "Ongeldige verwijzing: ": {"EN": "Invalid reference: ", "FR": "Référence non valide : ",
                               "DE": "Ungültiger Verweis: "}}


def in_language(text, language):
    """An error text of the service in the language of the user; texts that have no translation stay as they are."""
    for dutch, others in PHRASES.items():
        if text.startswith(dutch) and language in others:
            return others[language] + text[len(dutch):]
    return text
