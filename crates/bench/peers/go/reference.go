package main

import pb "github.com/access-tokens/access-tokens/gen/accesstoken/v1"

// What tokens and their owners refer to, by id. Nothing for no id.
type reference interface {
	user(id *string) *pb.User
	unit(id *string) *pb.Unit
	businessUnit(id *string) *pb.BusinessUnit
	classification(id *string) *pb.Classification
	country(id *string) *pb.Country
	industry(id *string) *pb.Industry
}

// A table of such things: its columns, and where they go. The id comes first, and is empty where there is no row.
type kind[T any] struct {
	table   string
	columns []string
	fields  func(*T) []any
}

var (
	users = kind[pb.User]{"app_user", []string{"id", "username", "person_name", "email"}, func(u *pb.User) []any {
		return []any{&u.Id, &u.Username, &u.PersonName, &u.Email}
	}}
	units = kind[pb.Unit]{"unit", []string{"id", "name", "group_name", "community_name", "alternative_code",
		"description"}, func(u *pb.Unit) []any {
		return []any{&u.Id, &u.Name, &u.GroupName, &u.CommunityName, &u.AlternativeCode, &u.Description}
	}}
	businessUnits = kind[pb.BusinessUnit]{"business_unit", []string{"id", "name", "code", "unified_code", "description",
		"parent_business_unit_name"}, func(b *pb.BusinessUnit) []any {
		return []any{&b.Id, &b.Name, &b.Code, &b.UnifiedCode, &b.Description, &b.ParentBusinessUnitName}
	}}
	classifications = kind[pb.Classification]{"classification", []string{"id", "name", "alternative_code"},
		func(c *pb.Classification) []any { return []any{&c.Id, &c.Name, &c.AlternativeCode} }}
	countries = kind[pb.Country]{"country", []string{"id", "name", "alternative_code", "dialing_code",
		"two_character_code", "three_character_code"}, func(c *pb.Country) []any {
		return []any{&c.Id, &c.Name, &c.AlternativeCode, &c.DialingCode, &c.TwoCharacterCode, &c.ThreeCharacterCode}
	}}
	industries = kind[pb.Industry]{"industry", []string{"id", "name", "code"},
		func(i *pb.Industry) []any { return []any{&i.Id, &i.Name, &i.Code} }}
)
