package main

import (
	"fmt"
	"strings"

	pb "github.com/access-tokens/access-tokens/gen/accesstoken/v1"
)

// What one row refers to, with the account of its participant: as true as the row itself.
type joined struct {
	participants    owner
	users           [3]pb.User
	units           [2]pb.Unit
	businessUnits   [2]pb.BusinessUnit
	classifications [1]pb.Classification
	countries       [6]pb.Country
	industries      [2]pb.Industry
}

// Everything by one statement.
func joinedStatement() string {
	columns, joins := tokenColumns+", "+ownerColumns("b", "d"), tokenJoins+`
LEFT JOIN accounts_receivable b ON b.organisation_key = p.organisation_key AND b.id = p.accounts_receivable
LEFT JOIN contact_information d ON d.organisation_key = b.organisation_key AND d.id = b.account_owner`
	for _, contact := range []string{"c", "d"} {
		joins += fmt.Sprintf(" LEFT JOIN LATERAL jsonb_to_record(%[1]s.demographics::jsonb) AS of_%[1]s "+
			"(country_of_residence text, passport_issued_by_country text, id_issued_by_country text, industry text) "+
			"ON true", contact)
	}
	add := func(table string, names, references []string) {
		for i, reference := range references {
			alias := fmt.Sprintf("%s_%d", table, i)
			columns += fmt.Sprintf(", COALESCE(%s.id, '')", alias)
			for _, name := range names[1:] {
				columns += ", " + alias + "." + name
			}
			joins += fmt.Sprintf(" LEFT JOIN %s %s ON %[2]s.organisation_key = t.organisation_key AND %[2]s.id = %s",
				table, alias, reference)
		}
	}
	add(users.table, users.columns, strings.Fields("t.verified_by_user t.created_by_user t.updated_by_user"))
	add(units.table, units.columns, strings.Fields("t.created_by_unit t.updated_by_unit"))
	add(businessUnits.table, businessUnits.columns,
		strings.Fields("t.created_by_business_unit t.updated_by_business_unit"))
	add(classifications.table, classifications.columns, strings.Fields("t.classification"))
	add(countries.table, countries.columns, strings.Fields("of_c.country_of_residence of_c.passport_issued_by_country "+
		"of_c.id_issued_by_country of_d.country_of_residence of_d.passport_issued_by_country of_d.id_issued_by_country"))
	add(industries.table, industries.columns, strings.Fields("of_c.industry of_d.industry"))
	return "SELECT " + columns + joins + tokenCondition
}

// Where the columns after those of the token go.
func (j *joined) fields() []any {
	all := j.participants.fields()
	all = add(all, users, j.users[:])
	all = add(all, units, j.units[:])
	all = add(all, businessUnits, j.businessUnits[:])
	all = add(all, classifications, j.classifications[:])
	all = add(all, countries, j.countries[:])
	return add(all, industries, j.industries[:])
}

func add[T any](all []any, k kind[T], rows []T) []any {
	for i := range rows {
		all = append(all, k.fields(&rows[i])...)
	}
	return all
}

func (j *joined) user(id *string) *pb.User { return among(j.users[:], id) }
func (j *joined) unit(id *string) *pb.Unit { return among(j.units[:], id) }
func (j *joined) businessUnit(id *string) *pb.BusinessUnit {
	return among(j.businessUnits[:], id)
}
func (j *joined) classification(id *string) *pb.Classification {
	return among(j.classifications[:], id)
}
func (j *joined) country(id *string) *pb.Country   { return among(j.countries[:], id) }
func (j *joined) industry(id *string) *pb.Industry { return among(j.industries[:], id) }

func among[T any, M interface {
	*T
	GetId() string
}](rows []T, id *string) M {
	for i := range rows {
		if one := M(&rows[i]); id != nil && one.GetId() == *id {
			return one
		}
	}
	return nil
}
