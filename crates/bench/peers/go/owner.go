package main

import (
	"encoding/json"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/access-tokens/access-tokens/gen/accesstoken/v1"
)

// An account with its contact information, as far as a row has them.
type owner struct {
	account                            pb.AccountsReceivable
	contact                            pb.ContactInformation
	id, state                          *string
	contactId, contactType, ownerState *string
	demographics                       []byte
}

// The columns of an account and of its contact information, by their aliases.
func ownerColumns(account, contact string) string {
	columns := "a.id, a.number, a.name, a.life_cycle_state, c.id, c.contact_type, c.life_cycle_state, c.name, " +
		"c.first_name, c.middle_name, c.last_name, c.title, c.company_name, c.demographics"
	return strings.NewReplacer("a.", account+".", "c.", contact+".").Replace(columns)
}

func (o *owner) fields() []any {
	c := &o.contact
	return []any{&o.id, &o.account.Number, &o.account.Name, &o.state, &o.contactId, &o.contactType, &o.ownerState,
		&c.Name, &c.FirstName, &c.MiddleName, &c.LastName, &c.Title, &c.CompanyName, &o.demographics}
}

// Nothing where there is none.
func (o *owner) message(r reference) (*pb.AccountsReceivable, error) {
	if o.id == nil {
		return nil, nil
	}
	o.account.Id = *o.id
	o.account.LifeCycleState = pb.AccountsReceivable_LifeCycleState(
		pb.AccountsReceivable_LifeCycleState_value[*o.state])
	if o.contactId == nil {
		return &o.account, nil
	}
	c := &o.contact
	o.account.AccountOwner = c
	c.Id = *o.contactId
	if o.contactType != nil {
		c.Type = pb.ContactInformation_Type(pb.ContactInformation_Type_value[*o.contactType])
	}
	if o.ownerState != nil {
		c.LifeCycleState = pb.ContactInformation_LifeCycleState(pb.ContactInformation_LifeCycleState_value[*o.ownerState])
	}
	var err error
	c.Demographics, err = demographics(o.demographics, r)
	return &o.account, err
}

type document struct {
	Gender           string  `json:"gender"`
	IdNumber         *string `json:"id_number"`
	Residence        *string `json:"country_of_residence"`
	PassportIssuedBy *string `json:"passport_issued_by_country"`
	IdIssuedBy       *string `json:"id_issued_by_country"`
	Industry         *string `json:"industry"`
	NameDay          *struct {
		Month *int32 `json:"month"`
		Day   *int32 `json:"day"`
	} `json:"name_day"`
	DateOfBirth *struct {
		Month *int32 `json:"month"`
		Day   *int32 `json:"day"`
		Year  *int32 `json:"year"`
	} `json:"date_of_birth"`
}

func demographics(text []byte, r reference) (*pb.Demographics, error) {
	if text == nil {
		return nil, nil
	}
	var read document
	if err := json.Unmarshal(text, &read); err != nil {
		return nil, status.Error(codes.Internal, "a document")
	}
	d := &pb.Demographics{
		IdNumber:                read.IdNumber,
		CountryOfResidence:      r.country(read.Residence),
		PassportIssuedByCountry: r.country(read.PassportIssuedBy),
		IdIssuedByCountry:       r.country(read.IdIssuedBy),
		Industry:                r.industry(read.Industry),
	}
	if gender, known := pb.Demographics_Gender_value[read.Gender]; known {
		d.Gender = pb.Demographics_Gender(gender).Enum()
	}
	if day := read.NameDay; day != nil {
		d.NameDay = &pb.NameDay{Month: day.Month, Day: day.Day}
	}
	if day := read.DateOfBirth; day != nil {
		d.DateOfBirth = &pb.DateOfBirth{Month: day.Month, Day: day.Day, Year: day.Year}
	}
	return d, nil
}
