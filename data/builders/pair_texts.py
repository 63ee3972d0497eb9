"""Questions in several wordings, first half."""

from data.builders.pair_intents import Intent

FIRST: tuple[Intent, ...] = (
    Intent(
        wordings=(
            "Can I return the {thing} within {n} days?",
            "Is it possible to send the {thing} back within {n} days?",
            "Do I have {n} days to return the {thing}?",
            "Would you take back the {thing} if I return it in {n} days?",
        ),
        opposites=(
            "Can I not return the {thing} within {n} days?",
            "Is it impossible to send the {thing} back within {n} days?",
            "Do I not have {n} days to return the {thing}?",
        ),
    ),
    Intent(
        wordings=(
            "How long does delivery to {city} take?",
            "How many days until a parcel reaches {city}?",
            "When would an order arrive in {city}?",
            "What is the delivery time for {city}?",
        ),
    ),
    Intent(
        wordings=(
            "Which customers in {city} bought the {thing}?",
            "List the customers from {city} who have ordered the {thing}.",
            "Who in {city} has purchased the {thing}?",
            "Show me everybody in {city} with an order for the {thing}.",
        ),
        opposites=(
            "Which customers in {city} never bought the {thing}?",
            "List the customers from {city} who have not ordered the {thing}.",
            "Who in {city} has not purchased the {thing}?",
        ),
    ),
    Intent(
        wordings=(
            "How many orders did we ship in {month}?",
            "What was the number of orders shipped in {month}?",
            "Count the orders that left the warehouse in {month}.",
            "In {month}, how many orders were sent out?",
        ),
        opposites=(
            "How many orders did we not ship in {month}?",
            "What was the number of orders not shipped in {month}?",
            "Count the orders that did not leave the warehouse in {month}.",
        ),
    ),
    Intent(
        wordings=(
            "What is {n} percent of {m}?",
            "How much is {n}% of {m}?",
            "Work out {n} percent of {m}.",
            "{m} times {n} percent is what?",
        ),
        low=3,
        high=95,
    ),
    Intent(
        wordings=(
            "Does {name} have access to the sales report?",
            "Can {name} open the sales report?",
            "Is {name} allowed to see the report on sales?",
            "Has {name} got permission to read the sales report?",
        ),
        opposites=(
            "Does {name} have no access to the sales report?",
            "Can {name} not open the sales report?",
            "Is {name} not allowed to see the report on sales?",
        ),
    ),
    Intent(
        wordings=(
            "What did {name} order in {month}?",
            "Which articles did {name} buy in {month}?",
            "Show {name}'s purchases of {month}.",
            "In {month}, what was ordered by {name}?",
        ),
        opposites=("What did {name} not order in {month}?", "Which articles did {name} not buy in {month}?"),
    ),
    Intent(
        wordings=(
            "Convert {n} kilometres to miles.",
            "How many miles are {n} km?",
            "What is {n} kilometres in miles?",
            "{n} km equals how many miles?",
        ),
        high=900,
    ),
    Intent(
        wordings=(
            "Is the {thing} in stock?",
            "Do you have the {thing} available right now?",
            "Can the {thing} be ordered at the moment?",
            "Is there any stock of the {thing} left?",
        ),
        opposites=(
            "Is the {thing} out of stock?",
            "Do you not have the {thing} available right now?",
            "Can the {thing} not be ordered at the moment?",
        ),
    ),
    Intent(
        wordings=(
            "Which tickets are older than {n} hours?",
            "Show all tickets that have waited more than {n} hours.",
            "List tickets opened over {n} hours ago.",
            "What tickets have been open for longer than {n} hours?",
        ),
        opposites=(
            "Which tickets are not older than {n} hours?",
            "Show all tickets that have not waited more than {n} hours.",
            "List tickets not opened over {n} hours ago.",
        ),
        high=200,
    ),
    Intent(
        wordings=(
            "Who is the account manager for {city}?",
            "Which colleague looks after the accounts in {city}?",
            "Name the person in charge of accounts in {city}.",
            "Whom do I ask about accounts in {city}?",
        ),
    ),
    Intent(
        wordings=(
            "What will the weather be like in {city} tomorrow?",
            "How is tomorrow's weather in {city}?",
            "Give me the forecast for {city} for tomorrow.",
            "Tomorrow's weather forecast for {city}, please.",
        ),
    ),
    Intent(
        wordings=(
            "Summarise the {n} latest reviews of the {thing}.",
            "Give me a summary of the last {n} reviews for the {thing}.",
            "What do the {n} most recent reviews of the {thing} say?",
            "In short, what is said in the newest {n} reviews of the {thing}?",
        ),
    ),
    Intent(
        wordings=(
            "Which reviews of the {thing} mention the packaging?",
            "Find reviews of the {thing} that talk about its packaging.",
            "Where in the reviews of the {thing} does packaging come up?",
            "Show the {thing} reviews in which people write about packaging.",
        ),
        opposites=(
            "Which reviews of the {thing} do not mention the packaging?",
            "Find reviews of the {thing} that don't talk about its packaging.",
            "Where in the reviews of the {thing} does packaging not come up?",
        ),
    ),
    Intent(
        wordings=(
            "Did {name} pay the invoice of {month}?",
            "Has {name} settled the {month} invoice?",
            "Is the {month} invoice for {name} paid?",
            "Was {month}'s invoice paid by {name}?",
        ),
        opposites=(
            "Did {name} not pay the invoice of {month}?",
            "Has {name} not settled the {month} invoice?",
            "Is the {month} invoice for {name} unpaid?",
        ),
    ),
    Intent(
        wordings=(
            "What is the average order value in {city}?",
            "How much does an order from {city} come to on average?",
            "Mean value of orders placed in {city}?",
            "On average, how large are orders in {city}?",
        ),
    ),
    Intent(
        wordings=(
            "How do I reset my password?",
            "I forgot my password, how can I set a new one?",
            "What is the way to change a forgotten password?",
            "Where can I get a new password?",
            "My password is lost, what do I do to get another?",
        ),
    ),
    Intent(
        wordings=(
            "How many people live in {city}?",
            "What is the population of {city}?",
            "How large is the population of {city}?",
            "What number of inhabitants does {city} have?",
        ),
    ),
    Intent(
        wordings=(
            "Book a table for {n} in {city}.",
            "Reserve a table for {n} people in {city}.",
            "I need a table in {city}, there will be {n} of us.",
            "Please get us a table for {n} persons in {city}.",
        ),
        high=14,
    ),
    Intent(
        wordings=(
            "Is {n} a prime number?",
            "Is the number {n} prime?",
            "Does {n} have exactly two divisors?",
            "Would you call {n} a prime?",
        ),
        opposites=("Is {n} not a prime number?", "Is the number {n} not prime?"),
        high=999,
    ),
    Intent(
        wordings=(
            "Which products cost more than {n} dollars?",
            "List the products with a price above {n} dollars.",
            "What do we sell that costs over {n} dollars?",
            "Show articles dearer than {n} dollars.",
        ),
        opposites=(
            "Which products do not cost more than {n} dollars?",
            "List the products without a price above {n} dollars.",
            "What do we sell that doesn't cost over {n} dollars?",
        ),
        high=300,
    ),
    Intent(
        wordings=(
            "Remind me to call {name} in {n} minutes.",
            "In {n} minutes, remind me that I must call {name}.",
            "Set a reminder for {n} minutes from now: call {name}.",
            "Give me a nudge in {n} minutes to phone {name}.",
        ),
        opposites=(
            "Don't remind me to call {name} in {n} minutes.",
            "In {n} minutes, remind me that I must not call {name}.",
        ),
        high=90,
    ),
    Intent(
        wordings=(
            "Who replaced {name} on the team in {city}?",
            "Who took over from {name} in the {city} team?",
            "In {city}, who is {name}'s successor on the team?",
            "Which person followed {name} on the {city} team?",
        ),
    ),
    Intent(
        wordings=(
            "What is the warranty period of the {thing}?",
            "How long is the {thing} under warranty?",
            "For how many years does the guarantee of the {thing} last?",
            "Until when is the {thing} covered by the warranty?",
        ),
    ),
    Intent(
        wordings=(
            "Is assembly of the {furniture} included?",
            "Does the price of the {furniture} include assembly?",
            "Will the {furniture} be put together for me at no extra cost?",
            "Is the {furniture} assembled as part of the price?",
        ),
        opposites=(
            "Is assembly of the {furniture} not included?",
            "Does the price of the {furniture} not include assembly?",
            "Will the {furniture} not be put together for me at no extra cost?",
        ),
    ),
    Intent(
        wordings=(
            "How many working days are there in {month}?",
            "What is the number of working days in {month}?",
            "{month} has how many working days?",
            "Count the working days of {month}.",
        ),
        opposites=(
            "How many non-working days are there in {month}?",
            "What is the number of days in {month} that are not working days?",
        ),
    ),
    Intent(
        wordings=(
            "Translate the invoice for {name} into German.",
            "Can you put {name}'s invoice into German?",
            "I need a German version of the invoice for {name}.",
            "Please give me {name}'s bill in German.",
        ),
    ),
    Intent(
        wordings=(
            "What is the fastest way from {city} to the airport?",
            "How do I get quickest from {city} to the airport?",
            "Starting in {city}, which route to the airport is the fastest?",
            "Quickest connection between {city} and the airport?",
        ),
    ),
)
