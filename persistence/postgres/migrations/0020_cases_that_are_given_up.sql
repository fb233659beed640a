-- What the wallet refuses for now, and nobody expects to happen later, is given up: on record first, and then made
-- certain in the wallet. Whoever else asks the wallet meanwhile finds that on record, and goes on with it.

ALTER TABLE cashier.cases
    DROP CONSTRAINT a_case_is_in_a_state_of_its_kind,
    ADD CONSTRAINT a_case_is_in_a_state_of_its_kind CHECK (CASE kind
        WHEN 'deposit' THEN state IN (
            'created', 'pending', 'crediting', 'credited', 'failed', 'expired', 'charging_back', 'charged_back', 'refused'
        )
        WHEN 'withdrawal' THEN state IN (
            'holding', 'requested', 'approved_once', 'approved', 'sent', 'paying', 'paid', 'rejecting', 'rejected',
            'failing', 'failed', 'cancelling', 'cancelled', 'giving_up', 'refused'
        )
        WHEN 'correction' THEN state IN ('proposed', 'applying', 'applied', 'rejected', 'giving_up', 'refused')
        ELSE false
    END),
    DROP CONSTRAINT what_is_under_way_is_due,
    ADD CONSTRAINT what_is_under_way_is_due CHECK (
        (due_time IS NOT NULL) = (state IN (
            'crediting', 'charging_back', 'holding', 'paying', 'rejecting', 'failing', 'cancelling', 'applying',
            'giving_up'
        ))
    );
