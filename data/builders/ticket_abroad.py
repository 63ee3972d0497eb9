"""What customers write in German, French and Spanish, queue by queue."""

from data.builders.ticket_topics import Topic

ABROAD: dict[str, dict[str, Topic]] = {
    "de": {
        "billing": Topic(
            queue="billing",
            names=("double_charge", "double_charge", "wrong_amount", "invoice_missing", "payment_declined"),
            needs="any",
            subjects=("Doppelte Abbuchung", "Frage zur Rechnung {order}", "Zu viel abgebucht", "Rechnung fehlt"),
            openings=(
                "für die Bestellung {order} wurden zweimal {amount} abgebucht.",
                "auf meiner Kreditkartenabrechnung steht {shop} gleich doppelt.",
                "die Rechnung für {product} stimmt nicht mit dem Preis im Warenkorb überein.",
                "ich habe für {order} nie eine Rechnung bekommen.",
                "Sie mahnen mich, obwohl ich am {date} überwiesen habe.",
            ),
            details=(
                "Bezahlt habe ich mit der Karte, die auf {card4} endet.",
                "Im Kundenkonto finde ich dazu nichts.",
                "Ich brauche das für die Steuer.",
                "Mein Name steht richtig im Konto: {name}.",
            ),
            asks=(
                "Bitte prüfen Sie die Abrechnung.",
                "Können Sie mir eine korrigierte Rechnung an {email} schicken?",
                "Bitte bestätigen Sie mir, dass nichts mehr offen ist.",
                "Wie ist der Betrag zustande gekommen?",
            ),
        ),
        "bug": Topic(
            queue="bug",
            names=("app_crash", "login_loop", "checkout_error", "search_broken", "checkout_error"),
            needs="none",
            subjects=("App stürzt ab", "Anmeldung geht nicht", "Fehler auf der Webseite", "Warenkorb leer"),
            openings=(
                "seit dem Update auf {version} stürzt die App auf meinem {device} sofort ab.",
                "ich kann mich nicht mehr anmelden, die Seite lädt immer wieder neu.",
                "an der Kasse erscheint nur 'Fehler 500'.",
                "die Suche auf Ihrer Seite findet gar nichts mehr.",
                "mein Warenkorb ist nach jedem Klick wieder leer.",
            ),
            details=(
                "Ich habe es schon mehrfach versucht.",
                "Im anderen Browser ist es genauso.",
                "Bis zum {date} lief alles einwandfrei.",
                "Eine Fehlermeldung gibt es nicht.",
            ),
            asks=(
                "Ist das Problem bekannt?",
                "Wann wird das behoben?",
                "Was kann ich tun?",
                "Bitte geben Sie das an die Technik weiter.",
            ),
        ),
        "refund": Topic(
            queue="refund",
            names=("damaged_item", "wrong_item", "changed_mind", "refund_not_arrived", "late_delivery"),
            needs="delivered",
            subjects=("Ware beschädigt", "Rücksendung {order}", "Geld zurück", "Falscher Artikel"),
            openings=(
                "der Artikel {product} kam zerbrochen bei mir an.",
                "statt {product} war etwas ganz anderes im Paket.",
                "ich möchte die Bestellung {order} widerrufen.",
                "meine Rücksendung ist seit Wochen bei Ihnen, das Geld aber nicht bei mir.",
                "die Lieferung kam {days} Tage zu spät, ich brauche sie nicht mehr.",
            ),
            details=(
                "Fotos kann ich gern schicken.",
                "Die Verpackung habe ich noch.",
                "Einen Gutschein möchte ich nicht.",
                "Den Beleg der Post habe ich noch.",
            ),
            asks=(
                "Bitte erstatten Sie mir {amount}.",
                "Wie schicke ich das zurück?",
                "Wann bekomme ich mein Geld?",
                "Bitte senden Sie mir ein Rücksendeetikett.",
            ),
        ),
    },
    "fr": {
        "billing": Topic(
            queue="billing",
            names=("double_charge", "wrong_amount", "invoice_missing", "membership_charge"),
            needs="any",
            subjects=("Débité deux fois", "Facture de la commande {order}", "Erreur de montant", "Facture introuvable"),
            openings=(
                "vous avez débité deux fois {amount} pour la commande {order}.",
                "le montant de la facture ne correspond pas au prix affiché pour {product}.",
                "je n'ai jamais reçu la facture de ma commande {order}.",
                "un prélèvement de {shop} du {date} m'est inconnu.",
            ),
            details=(
                "J'ai tout vérifié sur mon relevé.",
                "J'en ai besoin pour ma comptabilité.",
                "Rien n'apparaît dans mon espace client.",
                "La carte se termine par {card4}.",
            ),
            asks=(
                "Merci de vérifier.",
                "Pouvez-vous m'envoyer une facture corrigée à {email} ?",
                "À quoi correspond cette somme ?",
                "Merci de me confirmer que tout est réglé.",
            ),
        ),
        "bug": Topic(
            queue="bug",
            names=("app_crash", "login_loop", "tracking_blank", "checkout_error"),
            needs="none",
            subjects=("L'application plante", "Connexion impossible", "Erreur au paiement", "Page blanche"),
            openings=(
                "depuis la version {version}, l'application se ferme toute seule sur mon {device}.",
                "impossible de me connecter, la page tourne sans fin.",
                "la page de suivi reste blanche.",
                "le bouton de commande ne réagit pas sur votre site.",
            ),
            details=(
                "J'ai vidé le cache, sans succès.",
                "Le problème est le même avec un autre navigateur.",
                "Tout marchait encore le {date}.",
                "Aucun message d'erreur ne s'affiche.",
            ),
            asks=(
                "Est-ce un problème connu ?",
                "Quand sera-t-il corrigé ?",
                "Que puis-je faire ?",
                "Merci de transmettre à l'équipe technique.",
            ),
        ),
        "refund": Topic(
            queue="refund",
            names=("damaged_item", "changed_mind", "wrong_item", "refund_not_arrived"),
            needs="delivered",
            subjects=("Article cassé", "Retour de la commande {order}", "Demande de remboursement", "Mauvais article"),
            openings=(
                "l'article {product} est arrivé cassé.",
                "je souhaite renvoyer {product}, qui ne me convient pas.",
                "le colis {order} ne contenait pas ce que j'ai commandé.",
                "j'attends mon remboursement depuis {days} jours.",
            ),
            details=(
                "J'ai gardé l'emballage.",
                "Mon numéro de client est {customer}.",
                "Je ne veux pas de bon d'achat.",
                "Vous pouvez me joindre au {phone}.",
            ),
            asks=(
                "Je voudrais être remboursé de {amount}.",
                "Comment dois-je vous le renvoyer ?",
                "Quand serai-je remboursé ?",
                "Merci de m'envoyer une étiquette de retour.",
            ),
        ),
    },
    "es": {
        "billing": Topic(
            queue="billing",
            names=("double_charge", "wrong_amount", "invoice_missing", "membership_charge"),
            needs="any",
            subjects=("Cobro duplicado", "Factura del pedido {order}", "Importe incorrecto", "No tengo la factura"),
            openings=(
                "me han cobrado dos veces {amount} por el pedido {order}.",
                "la factura no coincide con el precio de {product} en la web.",
                "no he recibido la factura del pedido {order}.",
                "no reconozco un cargo de {shop} del {date}.",
            ),
            details=(
                "Lo he comprobado en el extracto.",
                "La necesito para mi empresa.",
                "En mi cuenta no aparece nada.",
                "La tarjeta termina en {card4}.",
            ),
            asks=(
                "Por favor, revisen el cobro.",
                "¿Pueden enviarme la factura corregida a {email}?",
                "¿A qué corresponde ese importe?",
                "Confírmenme que no debo nada, por favor.",
            ),
        ),
        "bug": Topic(
            queue="bug",
            names=("app_crash", "login_loop", "checkout_error", "search_broken"),
            needs="none",
            subjects=("La aplicación se cierra", "No puedo entrar", "Error al pagar", "La búsqueda no funciona"),
            openings=(
                "desde la versión {version} la aplicación se cierra sola en mi {device}.",
                "no puedo iniciar sesión, la página se recarga todo el rato.",
                "al terminar el pedido sale 'error 500'.",
                "el buscador de la web no encuentra nada.",
            ),
            details=(
                "Ya lo he intentado varias veces.",
                "Con otro navegador pasa lo mismo.",
                "Hasta el {date} funcionaba bien.",
                "No aparece ningún mensaje.",
            ),
            asks=(
                "¿Es un fallo conocido?",
                "¿Cuándo lo van a arreglar?",
                "¿Qué puedo hacer?",
                "Por favor, pásenlo al equipo técnico.",
            ),
        ),
        "refund": Topic(
            queue="refund",
            names=("damaged_item", "changed_mind", "wrong_item", "refund_not_arrived"),
            needs="delivered",
            subjects=("Llegó roto", "Devolución del pedido {order}", "Quiero mi dinero", "Artículo equivocado"),
            openings=(
                "el artículo {product} ha llegado roto.",
                "quiero devolver {product} porque no es lo que esperaba.",
                "en el paquete {order} venía otra cosa.",
                "sigo esperando el reembolso desde hace {days} días.",
            ),
            details=(
                "Guardo la caja.",
                "Tengo fotos si las necesitan.",
                "No quiero un vale.",
                "Mi teléfono es el {phone}.",
            ),
            asks=(
                "Devuélvanme los {amount}, por favor.",
                "¿Cómo lo envío de vuelta?",
                "¿Cuándo recibiré el dinero?",
                "Envíenme una etiqueta de devolución, por favor.",
            ),
        ),
    },
}
GREETINGS = {
    "de": ("Guten Tag,", "Hallo,", "Sehr geehrte Damen und Herren,", "Moin,"),
    "fr": ("Bonjour,", "Madame, Monsieur,", "Bonsoir,"),
    "es": ("Hola:", "Buenos días:", "Buenas tardes:"),
}
PARTINGS = {
    "de": ("Mit freundlichen Grüßen\n{name}", "Viele Grüße, {first}", "Danke und Gruß\n{name}\n{phone}"),
    "fr": ("Cordialement,\n{name}", "Merci d'avance, {first}", "Bien à vous,\n{name}\n{email}"),
    "es": ("Un saludo,\n{name}", "Gracias, {first}", "Atentamente,\n{name}\nTel. {phone}"),
}
