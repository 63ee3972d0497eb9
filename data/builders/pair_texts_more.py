"""Questions in several wordings, second half."""

from data.builders.pair_intents import Intent

SECOND: tuple[Intent, ...] = (
    Intent(
        wordings=(
            "Show the {n} customers with the highest spend.",
            "Who are our top {n} customers by spend?",
            "List the {n} customers that spend the most.",
            "Which {n} customers bring in the most money?",
        ),
        opposites=(
            "Show all customers except the {n} with the highest spend.",
            "Who are not among our top {n} customers by spend?",
        ),
        high=100,
    ),
    Intent(
        wordings=(
            "Does the {device} work without the app?",
            "Can I use the {device} if I don't have the app?",
            "Is the app unnecessary for using the {device}?",
            "Will the {device} run with no app installed?",
        ),
        opposites=(
            "Does the {device} work with the app?",
            "Can I use the {device} if I have the app?",
            "Is the app necessary for using the {device}?",
        ),
    ),
    Intent(
        wordings=(
            "When does the shop in {city} open on Sundays?",
            "What are the Sunday opening hours of the {city} shop?",
            "From what time is the {city} shop open on a Sunday?",
            "On Sundays, at what hour does the shop in {city} open?",
        ),
    ),
    Intent(
        wordings=(
            "Has the order of {name} been delivered to {city}?",
            "Did {name}'s order arrive in {city}?",
            "Was {name}'s parcel delivered in {city}?",
            "Is the order for {name} in {city} by now?",
        ),
        opposites=(
            "Has the order of {name} not been delivered to {city}?",
            "Did {name}'s order never arrive in {city}?",
            "Was {name}'s parcel not delivered in {city}?",
        ),
    ),
    Intent(
        wordings=(
            "What is the square root of {n}?",
            "Give me the square root of {n}.",
            "Which number times itself makes {n}?",
            "Square root of {n}, please?",
        ),
        high=999,
    ),
    Intent(
        wordings=(
            "Schedule a meeting with {name} for {n} minutes.",
            "Set up a {n}-minute meeting with {name}.",
            "I'd like to meet {name} for {n} minutes, please put it in the calendar.",
            "Put {n} minutes with {name} into my calendar.",
        ),
        opposites=(
            "Don't schedule a meeting with {name} for {n} minutes.",
            "Do not set up a {n}-minute meeting with {name}.",
        ),
        high=120,
    ),
    Intent(
        wordings=(
            "Which employees in {city} work part-time?",
            "Who works part-time in {city}?",
            "List the part-time staff of the {city} office.",
            "Show everyone in {city} with a part-time contract.",
        ),
        opposites=(
            "Which employees in {city} do not work part-time?",
            "Who does not work part-time in {city}?",
            "List the staff of the {city} office who are not part-time.",
        ),
    ),
    Intent(
        wordings=(
            "Compare sales in {city} with those of last {month}.",
            "How do sales in {city} compare with last {month}?",
            "Put the sales of {city} beside those of {month} last year.",
            "Are sales in {city} up or down on last {month}?",
        ),
    ),
    Intent(
        wordings=(
            "How much does it cost to send {n} kilograms to {city}?",
            "What is the postage for {n} kg to {city}?",
            "Price for shipping {n} kilograms to {city}?",
            "What do you charge for a {n} kg parcel to {city}?",
        ),
        high=40,
    ),
    Intent(
        wordings=(
            "Is the {thing} suitable for children under {n}?",
            "Can children younger than {n} use the {thing}?",
            "May a child below the age of {n} have the {thing}?",
            "Is it safe to give the {thing} to children under {n}?",
        ),
        opposites=(
            "Is the {thing} unsuitable for children under {n}?",
            "Can children younger than {n} not use the {thing}?",
        ),
        high=14,
    ),
    Intent(
        wordings=(
            "Delete the comments that {name} wrote in {month}.",
            "Remove {name}'s comments of {month}.",
            "Please erase what {name} commented in {month}.",
            "Take out all comments by {name} from {month}.",
        ),
        opposites=(
            "Delete the comments that {name} did not write in {month}.",
            "Do not remove {name}'s comments of {month}.",
            "Please don't erase what {name} commented in {month}.",
        ),
    ),
    Intent(
        wordings=(
            "What is the battery life of the {device}?",
            "How long does the battery of the {device} last?",
            "For how many hours does the {device} run on one charge?",
            "After how long must the {device} be charged again?",
        ),
    ),
    Intent(
        wordings=(
            "Who wrote the report on {city}?",
            "Who is the author of the {city} report?",
            "By whom was the report about {city} written?",
            "Which colleague is responsible for the text of the {city} report?",
        ),
        opposites=("Who did not write the report on {city}?",),
    ),
    Intent(
        wordings=(
            "How many users signed up in the last {n} days?",
            "Number of sign-ups over the past {n} days?",
            "In the last {n} days, how many new users registered?",
            "How many people created an account within the past {n} days?",
        ),
        opposites=(
            "How many users did not sign up in the last {n} days?",
            "Number of days without sign-ups over the past {n} days?",
        ),
        high=120,
    ),
    Intent(
        wordings=(
            "Explain the refund policy to {name} in {n} sentences.",
            "In {n} sentences, tell {name} how refunds work.",
            "Write {n} sentences for {name} about our refund policy.",
            "Give {name} a description of the refund rules, {n} sentences long.",
        ),
        high=12,
    ),
    Intent(
        wordings=(
            "Is {name} older than {n}?",
            "Is {name} more than {n} years old?",
            "Has {name} already passed the age of {n}?",
            "Would {name}'s age be above {n}?",
        ),
        opposites=(
            "Is {name} not older than {n}?",
            "Is {name} no more than {n} years old?",
            "Has {name} not yet passed the age of {n}?",
        ),
        high=90,
    ),
    Intent(
        wordings=(
            "Which invoices from {month} are above {n} dollars?",
            "Show {month} invoices of more than {n} dollars.",
            "List every invoice of {month} that exceeds {n} dollars.",
            "What invoices over {n} dollars did we get in {month}?",
        ),
        opposites=(
            "Which invoices from {month} are not above {n} dollars?",
            "Show {month} invoices of no more than {n} dollars.",
            "List every invoice of {month} that does not exceed {n} dollars.",
        ),
        high=900,
    ),
    Intent(
        wordings=(
            "How is the {thing} cleaned?",
            "What is the best way to clean the {thing}?",
            "How should I clean my {thing}?",
            "Which cleaning method suits the {thing}?",
        ),
        opposites=("How should the {thing} not be cleaned?", "What is a way in which one must not clean the {thing}?"),
    ),
    Intent(
        wordings=(
            "Send the contract to {name} before {month}.",
            "{name} must get the contract before {month}, please send it.",
            "Please mail {name} the contract ahead of {month}.",
            "See to it that {name} receives the contract before {month}.",
        ),
        opposites=(
            "Do not send the contract to {name} before {month}.",
            "{name} must not get the contract before {month}, please don't send it.",
        ),
    ),
    Intent(
        wordings=(
            "What time is it in {city} now?",
            "What is the current time in {city}?",
            "Tell me the local time in {city}.",
            "How late is it in {city} at the moment?",
        ),
    ),
    Intent(
        wordings=(
            "Does the train from {city} run on public holidays?",
            "Is the {city} train in service on public holidays?",
            "On public holidays, is there a train from {city}?",
            "Can I take the train from {city} on a public holiday?",
        ),
        opposites=(
            "Does the train from {city} not run on public holidays?",
            "Is the {city} train out of service on public holidays?",
            "On public holidays, is there no train from {city}?",
        ),
    ),
    Intent(
        wordings=(
            "What share of {month}'s orders was paid by card?",
            "Which percentage of the orders in {month} did customers pay with a card?",
            "How large was the proportion of card payments among {month} orders?",
            "Of all orders in {month}, what fraction was paid by card?",
        ),
        opposites=(
            "What share of {month}'s orders was not paid by card?",
            "Which percentage of the orders in {month} did customers not pay with a card?",
        ),
    ),
    Intent(
        wordings=(
            "Round {m} to the nearest {n}.",
            "What is {m} rounded to the nearest {n}?",
            "Which multiple of {n} lies closest to {m}?",
            "To the nearest {n}, what is {m}?",
        ),
        high=25,
    ),
    Intent(
        wordings=(
            "Is {name} on holiday in {month}?",
            "Will {name} be away on leave in {month}?",
            "Has {name} taken {month} off?",
            "Is {name} taking leave in {month}?",
        ),
        opposites=(
            "Is {name} not on holiday in {month}?",
            "Will {name} not be away on leave in {month}?",
            "Has {name} not taken {month} off?",
        ),
    ),
    Intent(
        wordings=(
            "Which of the {n} branches made a loss in {month}?",
            "Of our {n} branches, which lost money in {month}?",
            "Name those of the {n} branches that ended {month} with a loss.",
            "In {month}, which of the {n} branches were in the red?",
        ),
        opposites=(
            "Which of the {n} branches made no loss in {month}?",
            "Of our {n} branches, which did not lose money in {month}?",
        ),
        high=40,
    ),
    Intent(
        wordings=(
            "Give me a recipe with {n} ingredients from {city}.",
            "What can I cook from {city} with {n} ingredients?",
            "I'm looking for a dish of {city} that needs {n} ingredients.",
            "Suggest a {city} recipe that takes {n} ingredients.",
        ),
        high=15,
    ),
    Intent(
        wordings=(
            "Can {name} approve expenses over {n} dollars?",
            "Is {name} entitled to approve expenses of more than {n} dollars?",
            "May expenses above {n} dollars be signed off by {name}?",
            "Does {name} have the right to approve more than {n} dollars of expenses?",
        ),
        opposites=(
            "Can {name} not approve expenses over {n} dollars?",
            "Is {name} not entitled to approve expenses of more than {n} dollars?",
        ),
        low=100,
        high=5000,
    ),
    Intent(
        wordings=(
            "Which article is bought together with the {thing} most often?",
            "What do customers mostly buy along with the {thing}?",
            "What is the most frequent companion of the {thing} in a basket?",
            "Together with the {thing}, which article sells most?",
        ),
        opposites=("Which article is never bought together with the {thing}?",),
    ),
)
